"""Removes what is no longer kept, from time to time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from sterna_service.errors import ServiceError

_log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0

# A clock that is set by so much between two sweeps was wrong before or is wrong now.
_JUMP = timedelta(minutes=5)
# After that nothing is removed for so long: whoever set the clock wrong may set it right again.
_PATIENCE_SECONDS = 3600.0

Sweep = Callable[[datetime], Awaitable[object]]
"""Removes what has expired at a moment."""


class ClockWatch:
    """Tells whether the clock of the day can be trusted with removing things."""

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        # Goes on while the machine sleeps, and is never set.
        steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._offset = self._measure()
        self._distrust_until = -1.0

    def read(self) -> datetime | None:
        """The time of the day, or None while it is not trusted."""
        offset = self._measure()
        moved, self._offset = offset - self._offset, offset
        now = self._steady()
        if abs(moved) > _JUMP:
            _log.warning(
                "the clock was moved; nothing expires for an hour",
                extra={"by_seconds": round(moved.total_seconds())},
            )
            self._distrust_until = now + _PATIENCE_SECONDS
        return None if now < self._distrust_until else self._clock()

    def _measure(self) -> timedelta:
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return self._clock() - epoch - timedelta(seconds=self._steady())


class Sweeper:
    """Runs sweeps in turn. Belongs to the event loop."""

    def __init__(
        self,
        sweeps: Mapping[str, Sweep],
        clock: ClockWatch | None = None,
        seconds: float = SWEEP_SECONDS,
    ) -> None:
        """`sweeps` are named for the log."""
        self._sweeps = sweeps
        self._clock = clock or ClockWatch()
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, with a first sweep after a while."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> None:
        """Runs every sweep once, unless the clock was just moved. What fails is tried next time."""
        now = self._clock.read()
        if now is None:
            return
        for name, sweep in self._sweeps.items():
            try:
                await sweep(now)
            except ServiceError as error:
                _log.warning("nothing was removed", extra={"of": name, "why": error.message})
            except Exception:
                _log.exception("a sweep failed", extra={"of": name})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self.sweep()
