"""The mailbox over a real event descriptor, with a thread that produces as the engine does."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from sterna_service.engine.mailbox import Inbox, Mailbox, MailboxClosedError


@dataclass(frozen=True)
class Event:
    request_id: int
    value: int


class Outbox:
    """Appends under a lock and signals a descriptor: what the engine's outbox does."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self.failure: Exception | None = None
        self.drained = asyncio.Event()

    def outbox_fd(self) -> int:
        return self._fd

    def append(self, *events: Event) -> None:
        with self._lock:
            self._events += events
            os.eventfd_write(self._fd, 1)

    def drain_outbox(self) -> list[Event]:
        if self.failure is not None:
            raise self.failure
        with self._lock:
            self.drained.set()
            os.eventfd_read(self._fd)
            events, self._events = self._events, []
            return events

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
async def outbox() -> AsyncIterator[Outbox]:
    outbox = Outbox()
    yield outbox
    outbox.close()


async def take(inbox: Inbox[Event], count: int) -> list[int]:
    values: list[int] = []
    while len(values) < count:
        values += [event.value for event in await asyncio.wait_for(inbox.take(), 5)]
    return values


async def test_events_reach_their_requests_in_order(outbox: Outbox) -> None:
    mailbox = Mailbox(outbox)
    inboxes = {id: mailbox.open(id) for id in (1, 2, 3)}

    def produce() -> None:
        for value in range(1000):
            outbox.append(Event(1 + value % 3, value))

    thread = threading.Thread(target=produce)
    thread.start()
    for id, inbox in inboxes.items():
        wanted = [value for value in range(1000) if 1 + value % 3 == id]
        assert await take(inbox, len(wanted)) == wanted
    thread.join()
    mailbox.close()


async def test_a_slow_reader_finds_everything_at_once(outbox: Outbox) -> None:
    mailbox = Mailbox(outbox)
    inbox = mailbox.open(7)
    for value in range(50):
        outbox.append(Event(7, value))
        await asyncio.sleep(0)
    await outbox.drained.wait()
    await asyncio.sleep(0.01)
    assert [event.value for event in await inbox.take()] == list(range(50))
    mailbox.close()


async def test_events_of_forgotten_requests_are_dropped(outbox: Outbox) -> None:
    mailbox = Mailbox(outbox)
    forgotten, kept = mailbox.open(1), mailbox.open(2)
    mailbox.discard(1)
    outbox.append(Event(1, 10), Event(99, 11), Event(2, 12))
    assert await take(kept, 1) == [12]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(forgotten.take(), 0.02)
    mailbox.close()


async def test_closing_wakes_whoever_waits_but_not_before_the_last_events(outbox: Outbox) -> None:
    mailbox = Mailbox(outbox)
    waiting, holding = mailbox.open(1), mailbox.open(2)
    waiter = asyncio.create_task(waiting.take())
    outbox.append(Event(2, 5))
    await outbox.drained.wait()
    mailbox.close()
    with pytest.raises(MailboxClosedError):
        await waiter
    assert await take(holding, 1) == [5]
    with pytest.raises(MailboxClosedError):
        await holding.take()
    with pytest.raises(MailboxClosedError):
        await mailbox.open(3).take()
    mailbox.close()


async def test_a_broken_outbox_fails_its_requests_and_is_left_alone(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox = Mailbox(outbox)
    inbox = mailbox.open(1)
    outbox.failure = OSError("gone")
    outbox.append(Event(1, 1))
    with pytest.raises(OSError, match="gone"):
        await asyncio.wait_for(inbox.take(), 5)
    await asyncio.sleep(0.02)
    assert len(caplog.records) == 1  # it does not spin


def test_a_mailbox_survives_the_end_of_its_loop() -> None:
    outbox = Outbox()

    async def open_only() -> Mailbox[Event]:
        return Mailbox(outbox)

    mailbox = asyncio.run(open_only())
    mailbox.close()
    outbox.close()
