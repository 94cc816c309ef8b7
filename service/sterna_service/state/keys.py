"""API keys, as records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from sterna_service.access.keys import ApiKey
from sterna_service.access.limits import Limits
from sterna_service.access.scopes import Scope
from sterna_service.state.database import Database
from sterna_service.state.moments import microseconds, moment, moment_or_none
from sterna_service.state.tables import api_keys


class KeyRepository(Protocol):
    """Where keys are kept, the revoked and the expired ones, too."""

    async def create(self, key: ApiKey) -> bool:
        """Keeps a new key; false if one that is not revoked has its name."""
        ...

    async def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        ...

    async def revoke(self, key_id: str, now: datetime) -> bool:
        """Revokes a key; false if there is none, or it was revoked before."""
        ...

    async def note_uses(self, times: Mapping[str, datetime]) -> None:
        """Keeps when keys, by id, were last used."""
        ...


class SqlKeyRepository:
    """Keys in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, key: ApiKey) -> bool:
        taken = sa.select(api_keys.c.key_id).where(
            sa.or_(
                api_keys.c.key_id == key.key_id,
                sa.and_(api_keys.c.name == key.name, api_keys.c.revoke_time.is_(None)),
            )
        )

        def work(connection: sa.Connection) -> bool:
            if connection.execute(taken).first() is not None:
                return False
            connection.execute(sa.insert(api_keys).values(_row(key)))
            return True

        return await self._database.run(work)

    async def all(self) -> list[ApiKey]:
        query = sa.select(api_keys).order_by(api_keys.c.create_time, api_keys.c.key_id)

        def work(connection: sa.Connection) -> list[ApiKey]:
            return [_key(row) for row in connection.execute(query).mappings()]

        return await self._database.read(work)

    async def revoke(self, key_id: str, now: datetime) -> bool:
        change = (
            sa.update(api_keys)
            .where(api_keys.c.key_id == key_id, api_keys.c.revoke_time.is_(None))
            .values(revoke_time=microseconds(now))
        )
        return await self._database.run(lambda connection: connection.execute(change).rowcount == 1)

    async def note_uses(self, times: Mapping[str, datetime]) -> None:
        # Servers that share a database may know different times: the latest one stays.
        change = (
            sa.update(api_keys)
            .where(
                api_keys.c.key_id == sa.bindparam("id"),
                sa.or_(
                    api_keys.c.last_use_time.is_(None),
                    api_keys.c.last_use_time < sa.bindparam("used"),
                ),
            )
            .values(last_use_time=sa.bindparam("used"))
        )
        rows = [{"id": key_id, "used": microseconds(when)} for key_id, when in times.items()]
        await self._database.run(lambda connection: connection.execute(change, rows))


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "digest": key.digest,
        "scopes": " ".join(sorted(key.scopes)),
        "limits": json.dumps(key.limits.to_json()),
        "create_time": microseconds(key.create_time),
        "expire_time": _optional(key.expire_time),
        "revoke_time": _optional(key.revoke_time),
        "last_use_time": _optional(key.last_use_time),
    }


def _key(row: sa.RowMapping) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        name=row["name"],
        digest=row["digest"],
        # A scope of a later version is one that this version has no use for.
        scopes=frozenset(Scope(name) for name in row["scopes"].split() if name in list(Scope)),
        limits=Limits.from_json(json.loads(row["limits"])),
        create_time=moment(row["create_time"]),
        expire_time=moment_or_none(row["expire_time"]),
        revoke_time=moment_or_none(row["revoke_time"]),
        last_use_time=moment_or_none(row["last_use_time"]),
    )


def _optional(when: datetime | None) -> int | None:
    return None if when is None else microseconds(when)
