"""The keys that a running server accepts.

All keys are held in memory and read again when a call finds them older than a second, so a key that
was revoked by another process is refused within that second, and random keys cost few queries.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sterna_service.access.keys import ApiKey, id_of
from sterna_service.errors import Reason, ServiceError
from sterna_service.state.keys import KeyRepository

_log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""How old the keys in memory may be."""
NEWEST_SECONDS = 0.1
"""How old they may be for a key that is not among them: it may just have been made."""

# How long a call waits for a database that does not answer, before it is judged by what is known.
_PATIENCE_SECONDS = 2.0
# The times of last use are written at most this often.
_WRITE_SECONDS = 60.0


class Keyring:
    """Recognises keys. Belongs to the event loop."""

    def __init__(
        self,
        repository: KeyRepository,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository = repository
        self._now = now
        self._clock = clock
        self._keys: dict[str, ApiKey] = {}
        self._used: dict[str, datetime] = {}
        self._read_at: float | None = None
        self._written_at = clock()
        self._reading: asyncio.Task[None] | None = None
        self._failing = False

    async def recognise(self, key: str) -> ApiKey:
        """What is known of a key that is good now.

        Raises:
            ServiceError: It is missing, unknown, revoked or expired: UNAUTHENTICATED.
        """
        if not key:
            raise _refused(
                "an API key is needed: send `Authorization: Bearer KEY` or `x-api-key: KEY`; "
                "`sterna keys create` makes one"
            )
        key_id = id_of(key)
        if key_id is None:
            raise _refused("the API key has not the form of one, sk-sterna-…; check for a typo")
        await self._refresh(FRESH_SECONDS)
        if key_id not in self._keys:
            await self._refresh(NEWEST_SECONDS)
        known = self._keys.get(key_id)
        if known is None or not known.matches(key):
            raise _refused("the API key is not known here; check for a typo")
        now = self._now()
        if known.revoke_time is not None:
            raise _refused("the API key was revoked; ask for a new one")
        if known.is_expired(now):
            raise _refused("the API key has expired; ask for a new one")
        self._used[key_id] = now
        return known

    async def count(self) -> int:
        """How many keys are good now."""
        await self._refresh(FRESH_SECONDS)
        now = self._now()
        return sum(
            key.revoke_time is None and not key.is_expired(now) for key in self._keys.values()
        )

    async def close(self) -> None:
        """Writes what is still to be written."""
        if self._reading is not None:
            await asyncio.wait((self._reading,), timeout=_PATIENCE_SECONDS)
        await self._write_uses()

    async def _refresh(self, oldest: float) -> None:
        if self._read_at is not None and self._clock() - self._read_at < oldest:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        # One that waits in vain leaves the reading to the others.
        await asyncio.wait((self._reading,), timeout=_PATIENCE_SECONDS)

    async def _read(self) -> None:
        began = self._clock()
        try:
            keys = await self._repository.all()
        except Exception as error:
            # Whoever could call goes on: a database that is gone cannot hold a revocation either.
            self._read_at = began
            if not self._failing:
                self._failing = True
                _log.error(
                    "the API keys cannot be read; those known so far stay in force",
                    extra={"problem": str(error).partition("\n")[0]},
                )
            return
        if self._failing:
            self._failing = False
            _log.info("the API keys can be read again")
        self._keys = {key.key_id: key for key in keys}
        self._read_at = began
        if self._used and began - self._written_at >= _WRITE_SECONDS:
            await self._write_uses()

    async def _write_uses(self) -> None:
        used, self._used = self._used, {}
        self._written_at = self._clock()
        if not used:
            return
        try:
            await self._repository.note_uses(used)
        except Exception as error:
            _log.warning(
                "the times of last use of API keys were not written",
                extra={"problem": str(error).partition("\n")[0]},
            )


def _refused(message: str) -> ServiceError:
    return ServiceError(Reason.UNAUTHENTICATED, message)
