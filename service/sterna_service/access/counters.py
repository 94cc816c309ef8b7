"""Counts in windows of a minute: here, or in a Redis that several servers share.

The windows are those of the `limits` library. Its own storage in memory looks at every entry each
time, has no bound, and follows the wall clock; the one below does not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.storage import storage_from_string

from sterna_service.errors import StartupError

_log = logging.getLogger(__name__)

_NAMESPACE = "sterna"
# Names that are counted at a time; each takes about 200 bytes.
_CAPACITY = 100_000
# When there are more, they share this many counters.
_SHARED = 1024
# How often, at most, windows that are over are looked for.
_SWEEP_SECONDS = 1.0

# How long an answer of Redis may take, and how long it is left alone after it failed.
_PATIENCE_SECONDS = 0.25
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit per minute."""

    limit: int
    used: int
    reset_seconds: float
    """Until the window ends, and all of it is there again; 0 when nothing was used."""

    @property
    def remaining(self) -> int:
        """Never negative."""
        return max(0, self.limit - self.used)


class Counters:
    """Named counters. Belongs to the event loop."""

    def __init__(self, url: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """`url` is that of a Redis; empty: counts in memory only.

        Raises:
            StartupError: The URL is none of a Redis, or the package for it is missing.
        """
        self._clock = clock
        self._local = _Windows(_BoundedStorage(clock))
        self._shared = _Windows(_redis(url)) if url else None
        self._shared_again = clock()
        self._failing = False

    async def shared_storage_answers(self) -> bool:
        """Whether the Redis answers now; for those who look before a server starts."""
        return self._shared is None or await self._shared.answers()

    async def add(self, name: str, limit: int, amount: int) -> Allowance:
        """Counts `amount` (0: looks only), and says what is left then."""
        item = RateLimitItemPerMinute(limit, namespace=_NAMESPACE)
        if self._shared is not None and self._clock() >= self._shared_again:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    allowance = await self._shared.add(item, name, amount)
            except Exception as error:
                # A Redis that is gone must not stop the service: this process counts by itself.
                self._shared_again = self._clock() + _PAUSE_SECONDS
                if not self._failing:
                    self._failing = True
                    _log.warning(
                        "Redis does not answer; limits are counted in this process meanwhile",
                        extra={"problem": str(error) or type(error).__name__},
                    )
            else:
                if self._failing:
                    self._failing = False
                    _log.info("Redis answers again; limits are shared again")
                return allowance
        return await self._local.add(item, name, amount)


class _Windows:
    """Windows that begin with their first count, in one storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._strategy = FixedWindowRateLimiter(storage)

    async def answers(self) -> bool:
        return await self._storage.check()

    async def add(self, item: RateLimitItem, name: str, amount: int) -> Allowance:
        if amount:
            await self._strategy.hit(item, name, cost=amount)
        key = item.key_for(name)
        used = await self._storage.get(key)
        if not used:
            return Allowance(item.amount, 0, 0.0)
        reset = await self._storage.get_expiry(key) - time.time()
        return Allowance(item.amount, used, min(60.0, max(0.0, reset)))


@dataclass(slots=True)
class _Window:
    count: int
    end: float


class _BoundedStorage(Storage):
    """Windows in memory, of a bounded number, by a clock that only goes forward."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float], capacity: int = _CAPACITY) -> None:
        super().__init__()
        self._clock = clock
        self._capacity = capacity
        self._windows: dict[str, _Window] = {}
        self._swept = clock()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = self._clock()
        key = self._place(key, now)
        window = self._windows.get(key)
        if window is None or window.end <= now:
            window = self._windows[key] = _Window(0, now + expiry)
        window.count += amount
        return window.count

    async def get(self, key: str) -> int:
        now = self._clock()
        window = self._windows.get(self._place(key, now))
        return 0 if window is None or window.end <= now else window.count

    async def get_expiry(self, key: str) -> float:
        now = self._clock()
        window = self._windows.get(self._place(key, now))
        # The library speaks of the wall clock.
        return time.time() + (0.0 if window is None else max(0.0, window.end - now))

    async def check(self) -> bool:
        return True

    async def reset(self) -> int | None:
        count = len(self._windows)
        self._windows.clear()
        return count

    async def clear(self, key: str) -> None:
        self._windows.pop(self._place(key, self._clock()), None)

    def _place(self, key: str, now: float) -> str:
        """Where `key` is counted: by itself, unless there are too many."""
        if key in self._windows or len(self._windows) < self._capacity:
            return key
        if now - self._swept >= _SWEEP_SECONDS:
            self._swept = now
            self._windows = {name: each for name, each in self._windows.items() if each.end > now}
            if len(self._windows) < self._capacity:
                return key
        return f"shared/{hash(key) % _SHARED}"


def _redis(url: str) -> Storage:
    if not url.startswith(("redis://", "rediss://", "unix://", "redis+unix://")):
        raise StartupError(
            "limits_storage must be the address of a Redis: redis://HOST:PORT, rediss:// with TLS, "
            "or redis+unix:///PATH"
        )
    target = url.replace("unix://", "redis+unix://", 1) if url.startswith("unix://") else url
    try:
        storage = storage_from_string(
            f"async+{target}",
            implementation="redispy",
            socket_timeout=_PATIENCE_SECONDS,
            socket_connect_timeout=_PATIENCE_SECONDS,
        )
    except Exception as error:
        raise StartupError(
            f'limits_storage: cannot be used ({error}); Redis needs pip install "sterna-server'
            '[redis]"'
        ) from None
    return cast(Storage, storage)
