"""Counts what calls use, and writes it now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sterna_service.errors import ServiceError
from sterna_service.state.database import Database
from sterna_service.state.usage import Counts, UsageKey, UsageRepository

_log = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0
"""What a server that is killed loses at most."""

_MOST_WAITING = 100_000


class UsageBook:
    """What was used since it was last written. Belongs to the event loop.

    Calls only add numbers in memory. While the database is away these stay, and none is lost
    unless the server is killed.
    """

    def __init__(
        self,
        repository: UsageRepository,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._repository = repository
        self._clock = clock
        self._waiting: dict[UsageKey, Counts] = {}
        self._writing = asyncio.Lock()
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def note(self, notes: Mapping[str, object]) -> None:
        """Takes what the notes of a finished call say; others than those of its work have none."""
        counts = Counts(
            request_count=1,
            prompt_tokens=_whole(notes.get("prompt_tokens")),
            cached_tokens=_whole(notes.get("cached_tokens")),
            completion_tokens=_whole(notes.get("completion_tokens")),
            audio_milliseconds=_whole(notes.get("audio_seconds"), 1000),
        )
        if counts == Counts(request_count=1):
            return
        key = UsageKey(
            self._clock().date(), str(notes.get("model", ""))[:512], str(notes.get("key", ""))
        )
        self._add({key: counts})

    async def flush(self) -> None:
        """Writes what waits.

        Raises:
            ServiceError: The database is away; it still waits.
        """
        async with self._writing:
            batch, self._waiting = self._waiting, {}
            try:
                await self._repository.add(batch)
            except BaseException:
                # When it was cancelled it may be written nevertheless: rather twice than never.
                self._add(batch)
                raise

    def start(self) -> None:
        """Begins to write."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Writes what waits, and ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._try_to_flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            # It is finished even when the server stops meanwhile, and only then stops.
            await asyncio.shield(self._try_to_flush())

    async def _try_to_flush(self) -> None:
        try:
            await self.flush()
            self._failing = False
        except ServiceError as error:
            if not self._failing:
                _log.warning("usage waits for the database", extra={"why": error.message})
            self._failing = True
        except Exception:
            _log.exception("usage was not written")

    def _add(self, counted: Mapping[UsageKey, Counts]) -> None:
        for key, counts in counted.items():
            if key in self._waiting:
                self._waiting[key].add(counts)
            elif len(self._waiting) < _MOST_WAITING:
                self._waiting[key] = counts
            else:
                _log.error("usage is lost: too much waits for the database")


class Usage:
    """What is counted, and what was written."""

    def __init__(self, database: Database) -> None:
        self.repository = UsageRepository(database)
        self.book = UsageBook(self.repository)


def _whole(value: object, factor: int = 1) -> int:
    return round(value * factor) if isinstance(value, (int, float)) else 0
