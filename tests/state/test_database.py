"""The database: made, migrated, kept, refused."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from sterna_service.errors import StartupError
from sterna_service.state.database import Database


def insert_one(connection: sa.Connection) -> None:
    columns = "session_id, model_id, create_time, update_time, expire_time, ttl, message_count"
    connection.execute(sa.text(f"INSERT INTO sessions ({columns}) VALUES ('a', '', 0, 0, 0, 0, 0)"))


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.db"
    for expected in (0, 1):
        database = await Database.open(path)
        count = await database.run(
            lambda connection: connection.scalar(sa.text("SELECT count(*) FROM sessions"))
        )
        assert count == expected
        if not count:
            await database.run(insert_one)
        await database.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_failed_work_leaves_no_trace(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "state.db")

    def fail(connection: sa.Connection) -> None:
        insert_one(connection)
        raise KeyError("half way")

    with pytest.raises(KeyError):
        await database.run(fail)
    query = sa.text("SELECT count(*) FROM sessions")
    assert await database.run(lambda connection: connection.scalar(query)) == 0
    await database.close()


async def test_two_processes_may_share_a_file(tmp_path: Path) -> None:
    first = await Database.open(tmp_path / "state.db")
    second = await Database.open(tmp_path / "state.db")
    await first.run(insert_one)
    query = sa.text("SELECT session_id FROM sessions")
    assert await second.run(lambda connection: connection.scalar(query)) == "a"
    await first.close()
    await second.close()


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await (await Database.open(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(StartupError, match="a newer version of the server wrote it"):
        await Database.open(path)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("This is a letter to nobody in particular. " * 50)
    with pytest.raises(StartupError, match="not usable as the server's database"):
        await Database.open(path)
    assert path.read_text().startswith("This is a letter")


async def test_without_a_writable_place_the_database_is_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        database = await Database.open(tmp_path / "file" / "state.db")
    assert "in memory only" in caplog.text
    await database.run(insert_one)
    query = sa.text("SELECT session_id FROM sessions")
    assert await database.run(lambda connection: connection.scalar(query)) == "a"
    await database.close()
