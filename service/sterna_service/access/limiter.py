"""Holds clients to their limits: requests and tokens in a minute, what runs at the same time."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from sterna_service.access.counters import Allowance, Counters
from sterna_service.access.limits import Limits
from sterna_service.errors import Reason, ServiceError

# When a place among those that run will be free, nobody knows.
_RETRY_SECONDS = 1.0


class OverLimitError(ServiceError):
    """A refusal that tells the state of the limits, too."""

    def __init__(self, message: str, reason: Reason, limit: str, retry_after: float) -> None:
        super().__init__(reason, message, metadata={"limit": limit}, retry_after=retry_after)
        self.requests: Allowance | None = None
        self.tokens: Allowance | None = None


class Limiter:
    """Counts what clients do. Belongs to the event loop; what runs is counted by this process."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._running: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()

    async def enter(self, client: str, limits: Limits, *, runs: bool = True) -> Visit:
        """Counts one request of a client. Whoever enters must leave.

        With `runs` it takes a place among the client's concurrent requests.

        Raises:
            OverLimitError: RATE_LIMITED or CONCURRENCY_LIMITED, and when to try again.
        """
        visit = Visit(self, client, limits)
        if runs:
            # Before anything waits: others must see it.
            self._take(self._running, client, limits.concurrent, "concurrent requests")
            visit.runs = True
        try:
            await self.check_tokens(visit)
            if limits.requests:
                visit.requests = await self._counters.add(f"requests/{client}", limits.requests, 1)
                if visit.requests.used > limits.requests:
                    raise _over_rate(visit.requests, "requests")
        except OverLimitError as error:
            error.requests, error.tokens = visit.requests, visit.tokens
            visit.leave()
            raise
        except BaseException:
            visit.leave()
            raise
        return visit

    async def check_tokens(self, visit: Visit) -> None:
        """Looks whether any tokens are left, as a call of several answers does before each.

        Raises:
            OverLimitError: RATE_LIMITED.
        """
        most = visit.limits.tokens
        if most:
            visit.tokens = await self._counters.add(f"tokens/{visit.client}", most, 0)
            if not visit.tokens.remaining:
                raise _over_rate(visit.tokens, "tokens")

    async def charge(self, visit: Visit, tokens: int) -> None:
        """Counts the tokens that an answer took, also when they are more than were left."""
        if visit.limits.tokens and tokens > 0:
            await self._counters.add(f"tokens/{visit.client}", visit.limits.tokens, tokens)

    def open_stream(self, visit: Visit) -> None:
        """Takes a place among the client's streams; streams of one request share one.

        Raises:
            OverLimitError: CONCURRENCY_LIMITED.
        """
        if not visit.streams:
            try:
                self._take(self._streams, visit.client, visit.limits.streams, "concurrent streams")
            except OverLimitError as error:
                error.requests, error.tokens = visit.requests, visit.tokens
                raise
        visit.streams += 1

    def close_stream(self, visit: Visit) -> None:
        """Ends what `open_stream` began."""
        visit.streams -= 1
        if not visit.streams:
            _give_back(self._streams, visit.client)

    def _leave(self, visit: Visit) -> None:
        if visit.runs:
            visit.runs = False
            _give_back(self._running, visit.client)

    def _take(self, places: Counter[str], client: str, most: int | None, what: str) -> None:
        if most and places[client] >= most:
            raise OverLimitError(
                f"the limit of {most} {what} is reached; try again when one has ended",
                Reason.CONCURRENCY_LIMITED,
                f"{most} {what}",
                _RETRY_SECONDS,
            )
        places[client] += 1


@dataclass(slots=True)
class Visit:
    """A request that was let in, and what is left to its client."""

    limiter: Limiter
    client: str
    limits: Limits
    requests: Allowance | None = None
    tokens: Allowance | None = None
    runs: bool = field(default=False, repr=False)
    streams: int = field(default=0, repr=False)

    def leave(self) -> None:
        """Ends the request; a second time does nothing."""
        self.limiter._leave(self)


def _give_back(places: Counter[str], client: str) -> None:
    places[client] -= 1
    if places[client] <= 0:
        # Or every client that ever came would be remembered.
        del places[client]


def _over_rate(allowance: Allowance, what: str) -> OverLimitError:
    seconds = max(1, math.ceil(allowance.reset_seconds))
    return OverLimitError(
        f"the limit of {allowance.limit} {what} per minute is reached; try again in {seconds} s",
        Reason.RATE_LIMITED,
        f"{allowance.limit} {what} per minute",
        max(0.001, allowance.reset_seconds),
    )
