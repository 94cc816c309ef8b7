"""Works on the keys in the database, which a running server reads again every second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import sqlalchemy as sa

from sterna_server.composition import database_place
from sterna_server.errors import CommandError
from sterna_server.keys.reading import expiry_of, scopes_of
from sterna_server.keys.table import moment_text
from sterna_server.settings import Settings
from sterna_service.access.keys import ApiKey, digest_of, new_key
from sterna_service.access.limits import Limits
from sterna_service.errors import ServiceError, StartupError
from sterna_service.state.database import Database
from sterna_service.state.keys import SqlKeyRepository

Result = TypeVar("Result")

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key, and the only copy of its text."""

    key: str
    record: ApiKey

    @property
    def summary(self) -> str:
        """One line about it."""
        until = moment_text(self.record.expire_time, "for good")
        scopes = ", ".join(sorted(self.record.scopes))
        return f"key {self.record.key_id} ({self.record.name}) allows {scopes}, until {until}"

    def to_json(self) -> str:
        """The key and what it is."""
        expires = self.record.expire_time
        return json.dumps(
            {
                "key": self.key,
                "id": self.record.key_id,
                "name": self.record.name,
                "scopes": sorted(self.record.scopes),
                "expires": expires.isoformat() if expires else None,
                "limits": self.record.limits.to_json(),
            }
        )


def create_key(
    settings: Settings, name: str, scopes: list[str], expires: str, limits: Limits
) -> MadeKey:
    """Makes a key.

    Raises:
        CommandError: A value is wrong, the name is taken, or the database cannot be used.
    """
    name = name.strip()
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise CommandError(f"NAME: should be 1 to {_LONGEST_NAME} printable characters")
    now = datetime.now(UTC)
    key_id, key = new_key()
    record = ApiKey(
        key_id=key_id,
        name=name,
        digest=digest_of(key),
        scopes=scopes_of(scopes),
        create_time=now,
        expire_time=expiry_of(expires, now),
        limits=limits,
    )
    if not _with_keys(settings, lambda keys: keys.create(record)):
        raise CommandError(f"a key named {name!r} exists; revoke it, or choose another name")
    return MadeKey(key, record)


def listed_keys(settings: Settings, *, every: bool) -> list[ApiKey]:
    """The keys, oldest first; with `every`, also those that are no longer good.

    Raises:
        CommandError: The database cannot be used.
    """
    now = datetime.now(UTC)
    keys = _with_keys(settings, lambda keys: keys.all())
    return [key for key in keys if every or (key.revoke_time is None and not key.is_expired(now))]


def revoke_key(settings: Settings, wanted: str) -> str:
    """Revokes the key with this id or name; one line about it.

    Raises:
        CommandError: There is none, or the database cannot be used.
    """

    async def work(keys: SqlKeyRepository) -> ApiKey | None:
        for key in await keys.all():
            if wanted in (key.key_id, key.name) and await keys.revoke(
                key.key_id, datetime.now(UTC)
            ):
                return key
        return None

    key = _with_keys(settings, work)
    if key is None:
        raise CommandError(
            f"no key that could be revoked has the id or the name {wanted!r}; "
            "see `sterna keys list`"
        )
    return f"revoked {key.key_id} ({key.name})"


def _with_keys(settings: Settings, work: Callable[[SqlKeyRepository], Awaitable[Result]]) -> Result:
    async def main() -> Result:
        database = await Database.open(database_place(settings))
        try:
            if not database.is_lasting:
                raise CommandError(
                    f"{database_place(settings)}: cannot be written, and a key must be kept"
                )
            return await work(SqlKeyRepository(database))
        finally:
            await database.close()

    try:
        return asyncio.run(main())
    except StartupError as error:
        raise CommandError(str(error)) from None
    except ServiceError as error:
        raise CommandError(error.message) from None
    except sa.exc.SQLAlchemyError as error:
        raise CommandError(f"the database: {error}".partition("\n")[0]) from None
