"""Puts events into the outbox, in the order in which they happened."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from sterna_service.errors import ServiceError
from sterna_service.models.events import ServerEvent
from sterna_service.state.outbox import Outbox
from sterna_service.webhooks.message import notice_of

_log = logging.getLogger(__name__)

# While the database is away, so many events wait in memory; the oldest give way.
MOST_WAITING = 10_000
# How long a call waits for its event to be kept while the database is away, in seconds.
MOST_SETTLE_SECONDS = 5.0

_MOST_AT_ONCE = 500
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class Recorder:
    """Keeps events for webhooks as soon as they happen. Belongs to the event loop.

    While the database cannot be written, events wait in memory and calls go on without them: a
    transcript is worth more than the word that it is done.
    """

    def __init__(self, outbox: Outbox, announce: Callable[[], None]) -> None:
        """`announce` is called when something is owed."""
        self._outbox = outbox
        self._announce = announce
        self._waiting: deque[ServerEvent] = deque(maxlen=MOST_WAITING)
        self._taken = 0
        self._kept = 0
        self._news = asyncio.Event()
        self._progress = asyncio.Condition()
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self, port: int | None) -> None:
        """Begins to write; `port` is where the core speaks gRPC."""
        self._task = asyncio.create_task(self._write(port))

    def put(self, event: ServerEvent) -> None:
        """Takes an event; returns at once."""
        if len(self._waiting) == MOST_WAITING:
            _log.error("an event is lost to webhooks: too many wait for the database")
            self._kept += 1
        self._waiting.append(event)
        self._taken += 1
        self._news.set()

    async def settle(self) -> None:
        """Returns when everything taken so far is kept, or the database is away for too long."""
        mark = self._taken
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MOST_SETTLE_SECONDS), self._progress:
                await self._progress.wait_for(lambda: self._kept >= mark or self._failing)

    async def close(self) -> None:
        """Writes what waits, if that can be done soon, and ends."""
        await self.settle()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._waiting:
            _log.error(
                "events are lost to webhooks: the database is away",
                extra={"events": len(self._waiting)},
            )

    async def _write(self, port: int | None) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._news.wait()
            self._news.clear()
            batch = list(itertools.islice(self._waiting, _MOST_AT_ONCE))
            if not batch:
                continue
            try:
                owed = await self._outbox.put(
                    [notice_of(event, port) for event in batch], datetime.now(UTC)
                )
            except ServiceError as error:
                if not self._failing:
                    _log.warning("events wait for the database", extra={"why": error.message})
                await self._advance(0, failing=True)
                self._news.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            except Exception:
                # A bug must not end all webhooks, nor hold up what comes after it for good.
                _log.exception("events are lost to webhooks", extra={"events": len(batch)})
                owed = 0
            pause = _FIRST_PAUSE_SECONDS
            done = {event.revision for event in batch}
            # Some may have given way meanwhile, and were counted then.
            left = [event for event in self._waiting if event.revision not in done]
            kept = len(self._waiting) - len(left)
            # Before anything else may run, and put another one there.
            self._waiting = deque(left, maxlen=MOST_WAITING)
            await self._advance(kept, failing=False)
            if self._waiting:
                self._news.set()
            if owed:
                self._announce()

    async def _advance(self, count: int, *, failing: bool) -> None:
        async with self._progress:
            self._kept += count
            self._failing = failing
            self._progress.notify_all()
