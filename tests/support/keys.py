"""API keys in the database of a home directory, made as another process would make them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from sterna_service.access.keyring import NEWEST_SECONDS
from sterna_service.access.keys import ApiKey, digest_of, id_of, new_key
from sterna_service.access.limits import NO_LIMITS, Limits
from sterna_service.access.scopes import EVERY_SCOPE, parse_scopes
from sterna_service.state.database import Database
from sterna_service.state.keys import SqlKeyRepository


async def make_key(
    home: Path,
    *scopes: str,
    name: str = "",
    expire_time: datetime | None = None,
    limits: Limits = NO_LIMITS,
) -> str:
    """A new key; without scopes it allows everything."""
    key_id, key = new_key()
    record = ApiKey(
        key_id=key_id,
        name=name or key_id,
        digest=digest_of(key),
        scopes=parse_scopes(scopes) if scopes else EVERY_SCOPE,
        create_time=datetime.now(UTC),
        expire_time=expire_time,
        limits=limits,
    )
    database = await Database.open(home / "state.db")
    try:
        assert await SqlKeyRepository(database).create(record)
    finally:
        await database.close()
    # A server that read the keys just now reads them again for one that it does not know.
    await asyncio.sleep(1.5 * NEWEST_SECONDS)
    return key


async def revoke_key(home: Path, key: str) -> None:
    """Revokes a key."""
    database = await Database.open(home / "state.db")
    try:
        assert await SqlKeyRepository(database).revoke(id_of(key) or "", datetime.now(UTC))
    finally:
        await database.close()


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    """The metadata, or with `dict` the headers, of a call with this key."""
    return (("authorization", f"Bearer {key}"),)
