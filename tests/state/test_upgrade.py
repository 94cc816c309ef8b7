"""From each released schema to the present one, with data in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from sterna_service.state.database import Database
from sterna_service.state.migrate import NEWEST_REVISION
from sterna_service.state.place import make_engine, place_of
from sterna_service.state.tables import metadata


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", "sterna_service.state:migrations")
    return config


SCRIPTS = ScriptDirectory.from_config(configuration())
REVISIONS = [each.revision for each in SCRIPTS.walk_revisions()][::-1]
"""Oldest first."""

# What each schema brought, filled with a row. A new migration that makes a table, or columns, adds
# to it.
ROWS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "0001": [
        (
            "sessions",
            {
                "session_id": "s",
                "model_id": "m",
                "create_time": 1,
                "update_time": 2,
                "expire_time": 3,
                "ttl": 4,
                "message_count": 1,
            },
        ),
        ("session_messages", {"session_id": "s", "position": 0, "message": '{"a": "🐦"}'}),
    ],
    "0002": [
        (
            "answers",
            {
                "response_id": "r",
                "previous_response_id": None,
                "owner": None,
                "model_id": "m",
                "create_time": 1,
                "expire_time": 3,
                "ttl": 4,
                "messages": "[]",
                "answer": "{}",
                "result": b"\x00\xff",
                "document": "{}",
            },
        )
    ],
    "0003": [
        (
            "webhooks",
            {
                "webhook_id": "w",
                "url": "http://example.com/",
                "event_types": '["model.started"]',
                "secret": "whsec_AAAA",
                "create_time": 1,
            },
        ),
        (
            "webhook_deliveries",
            {
                "delivery_id": "d",
                "webhook_id": "w",
                "event_type": "model.started",
                "revision": 2**50,
                "body": "{}",
                "create_time": 1,
                "attempt_count": 0,
                "next_attempt_time": 1,
            },
        ),
        (
            "webhook_attempts",
            {
                "webhook_id": "w",
                "delivery_id": "d",
                "event_type": "model.started",
                "revision": 2**50,
                "attempt_time": 1,
                "attempt_count": 1,
                "http_status": 500,
                "message": "no",
            },
        ),
    ],
    "0004": [
        (
            "api_keys",
            {
                "key_id": "k",
                "name": "laptop",
                "digest": "ab" * 32,
                "scopes": "inference",
                "limits": "{}",
                "create_time": 1,
            },
        )
    ],
    "0005": [
        (
            "usage",
            {
                "day": "2030-01-01",
                "model_id": "m",
                "key_id": "",
                "request_count": 1,
                "prompt_tokens": 2,
                "cached_tokens": 1,
                "completion_tokens": 3,
                "audio_milliseconds": 2**40,
            },
        )
    ],
    "0006": [
        (
            "sessions",
            {
                "session_id": ".t",
                "model_id": "m",
                "create_time": 1,
                "update_time": 2,
                "expire_time": 3,
                "ttl": 4,
                "message_count": 0,
                "owner": "k",
                "owned_id": "t",
            },
        )
    ],
}


def test_the_chain_has_one_beginning_and_one_end() -> None:
    assert SCRIPTS.get_heads() == [NEWEST_REVISION]
    assert SCRIPTS.get_bases() == [REVISIONS[0]]
    # Numbered in order, so that two that were made at the same time cannot both be taken.
    assert [f"{number:04}" for number in range(1, len(REVISIONS) + 1)] == REVISIONS


def test_every_table_is_filled_below() -> None:
    assert {name for rows in ROWS.values() for name, _ in rows} == set(metadata.tables)


def insert(connection: sa.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_data_of_every_version_is_kept(database_place: Path | str, revision: str) -> None:
    place = place_of(database_place)
    engine = make_engine(place)
    config = configuration()
    filled = REVISIONS[: REVISIONS.index(revision) + 1]
    for each in filled:
        # Step by step, so that old rows go through every migration.
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, each)
            for table, row in ROWS.get(each, ()):
                insert(connection, table, row)
    engine.dispose()

    database = await Database.open(database_place)

    def read(connection: sa.Connection) -> None:
        for each in filled:
            for table, row in ROWS.get(each, ()):
                names = ", ".join(row)
                found = connection.execute(sa.text(f"SELECT {names} FROM {table}")).mappings()
                kept = [
                    {k: bytes(v) if isinstance(v, memoryview) else v for k, v in each.items()}
                    for each in found
                ]
                assert row in kept, table
                of_it = [
                    1 for brought in filled for name, _ in ROWS.get(brought, ()) if name == table
                ]
                assert len(kept) == len(of_it), table
        # What is older than owners is nobody's.
        old = sa.text("SELECT owner, owned_id FROM sessions WHERE session_id = 's'")
        assert connection.execute(old).all() == [(None, None)]
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    await database.run(read)
    await database.close()
