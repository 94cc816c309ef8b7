"""Brings what the engine reports into asyncio.

The engine's threads never touch Python. They append events to an outbox and make a file descriptor
readable; the one reader here takes everything that waits and hands each request its share. A
consumer that is slower than the engine therefore finds several events at once, never a queue of
wake-ups.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Generic, Protocol, TypeVar

_log = logging.getLogger(__name__)


class OutboxEvent(Protocol):
    """Anything that belongs to a request."""

    @property
    def request_id(self) -> int: ...


E = TypeVar("E", bound=OutboxEvent)


class Outbox(Protocol[E]):
    """The part of the engine that reports."""

    def outbox_fd(self) -> int: ...

    def drain_outbox(self) -> list[E]: ...


class MailboxClosedError(Exception):
    """The mailbox was closed while somebody waited for events."""


class Inbox(Generic[E]):
    """The events of one request that nobody has read yet. For one reader."""

    def __init__(self) -> None:
        self._events: list[E] = []
        self._wakeup = asyncio.Event()
        self._failure: BaseException | None = None

    def deliver(self, event: E) -> None:
        self._events.append(event)
        self._wakeup.set()

    def fail(self, failure: BaseException) -> None:
        self._failure = failure
        self._wakeup.set()

    async def take(self) -> list[E]:
        """Waits for at least one event and returns all there are, in order.

        Raises:
            MailboxClosedError: Nothing more will come.
        """
        await self._wakeup.wait()
        if not self._events:
            assert self._failure is not None
            raise self._failure
        events, self._events = self._events, []
        if self._failure is None:
            self._wakeup.clear()
        return events


class Mailbox(Generic[E]):
    """Routes the events of one engine. All methods belong to the event loop's thread."""

    def __init__(self, outbox: Outbox[E]) -> None:
        self._outbox = outbox
        self._inboxes: dict[int, Inbox[E]] = {}
        self._loop = asyncio.get_running_loop()
        # Asked for once: at the end the engine may be gone before its descriptor is forgotten.
        self._fd = outbox.outbox_fd()
        self._closed = False
        self._loop.add_reader(self._fd, self._drain)

    def open(self, request_id: int) -> Inbox[E]:
        """Starts collecting the events of a request."""
        inbox: Inbox[E] = Inbox()
        if self._closed:
            inbox.fail(MailboxClosedError())
        else:
            self._inboxes[request_id] = inbox
        return inbox

    def discard(self, request_id: int) -> None:
        """Forgets a request; what still comes for it is dropped."""
        self._inboxes.pop(request_id, None)

    def close(self) -> None:
        """Stops reading and wakes everybody who waits. Must come before the engine closes."""
        self._shut(MailboxClosedError())

    def _drain(self) -> None:
        try:
            events = self._outbox.drain_outbox()
        except Exception as error:
            # The descriptor would stay readable and this would spin: give up, visibly.
            _log.exception("the engine's outbox cannot be read")
            self._shut(error)
            return
        for event in events:
            inbox = self._inboxes.get(event.request_id)
            if inbox is not None:
                inbox.deliver(event)

    def _shut(self, failure: BaseException) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        for inbox in self._inboxes.values():
            inbox.fail(failure)
        self._inboxes.clear()
