"""The database in which the core keeps what outlives it.

SQLite, in a file of its own or in memory. All work is done by one thread, so that it neither
blocks the event loop nor contends with itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from sterna_service.errors import StartupError

_log = logging.getLogger(__name__)

NEWEST_REVISION = "0004"
"""The schema of this version: the last of `migrations/versions`."""

# How long to wait for another process that is writing, in milliseconds.
_BUSY_MILLISECONDS = 10_000

T = TypeVar("T")


class Database:
    """An open database with the present schema. Belongs to the event loop."""

    def __init__(self, engine: sa.Engine, worker: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._worker = worker

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Opens the file, makes it if there is none, and brings its schema up to date.

        Where no file can be made, the database lives in memory and a warning says so: a read-only
        home must not keep a server from serving.

        Raises:
            StartupError: The file is no database, or a newer version of the server wrote it.
        """
        worker = ThreadPoolExecutor(1, "sterna-state")
        loop = asyncio.get_running_loop()
        try:
            engine = await loop.run_in_executor(worker, _open_blocking, path)
        except BaseException:
            worker.shutdown(wait=False)
            raise
        return cls(engine, worker)

    @property
    def is_lasting(self) -> bool:
        """Whether it outlives this process."""
        return not isinstance(self._engine.pool, StaticPool)

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Runs `work` in a transaction, which is undone if it raises."""

        def in_transaction() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._worker, in_transaction)

    async def close(self) -> None:
        """Finishes what was begun and closes the file. A second call does nothing."""
        await asyncio.to_thread(self._worker.shutdown)
        self._engine.dispose()


def _open_blocking(path: Path) -> sa.Engine:
    engine = _engine(path if _is_writable(path) else None)
    try:
        with engine.begin() as connection:
            _migrate(connection, path)
    except sa.exc.DBAPIError as error:
        engine.dispose()
        raise StartupError(
            f"{path}: not usable as the server's database ({error.orig}); move the file away to "
            "begin with an empty one"
        ) from None
    except BaseException:
        engine.dispose()
        raise
    return engine


def _is_writable(path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            return True
    except OSError as error:
        _log.warning(
            "sessions are kept in memory only: the database cannot be written",
            extra={"path": str(path), "problem": error.strerror or str(error)},
        )
        return False


def _engine(path: Path | None) -> sa.Engine:
    if path is None:
        # One connection, or each would have an empty database of its own.
        options: dict[str, Any] = {
            "poolclass": StaticPool,
            "connect_args": {"check_same_thread": False},
        }
        engine = sa.create_engine("sqlite://", **options)
    else:
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    # The driver's own transactions begin late and leave out changes of the schema; see `_begin`.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        # Readers and a writer at the same time. A crash of the machine may cost the last moments,
        # never the file.
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _begin(connection: sa.Connection) -> None:
    # IMMEDIATE waits for other writers here instead of failing at the first change.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: sa.Connection, path: Path) -> None:
    """Brings the schema up to date. Inside of a transaction: two servers do not both do it."""
    if _revision(connection) == NEWEST_REVISION:
        return
    # Only now: it takes a tenth of a second to import.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "sterna_service.state:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise StartupError(
            f"{path}: a newer version of the server wrote it (revision "
            f"{_revision(connection)!r}); start that version, or move the file away"
        ) from None


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
