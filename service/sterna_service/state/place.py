"""Where the database is: a file of SQLite, memory, or a server of PostgreSQL."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from sterna_service.errors import StartupError

_log = logging.getLogger(__name__)

# How long to wait for another process that is writing.
_BUSY_MILLISECONDS = 5_000
_CONNECT_SECONDS = 5
_STATEMENT_MILLISECONDS = 15_000

POSTGRES_THREADS = 4
"""Connections of one core to PostgreSQL; one more holds locks."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database that may be opened."""

    name: str
    """How messages call it: never with a password."""
    url: sa.URL | None
    """None: in memory."""
    path: Path | None = None
    """The file, if it is one."""

    @property
    def is_postgres(self) -> bool:
        return self.url is not None and self.url.get_backend_name() == "postgresql"


def place_of(where: Path | str) -> Place:
    """A file, or what a URL means: `postgresql://USER:PASSWORD@HOST:PORT/NAME`, `sqlite:///FILE`.

    Where a file cannot be made, the place is in memory and a warning says so: a read-only home
    must not keep a server from serving.

    Raises:
        StartupError: The URL cannot be used.
    """
    if isinstance(where, Path):
        return _file(where)
    try:
        url = sa.make_url(where)
    except sa.exc.ArgumentError:
        raise StartupError(
            "database_url must be postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///FILE"
        ) from None
    backend = url.drivername.partition("+")[0]
    if backend in ("postgresql", "postgres"):
        _need_psycopg()
        url = url.set(drivername="postgresql+psycopg")
        # Parameters may hold a password, too.
        name = url.set(query={}).render_as_string(hide_password=True)
        return Place(name.replace("+psycopg", "", 1), url)
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return _file(Path(url.database))
    raise StartupError(
        f"database_url must begin with postgresql:// or sqlite:///, got {url.drivername}://"
    )


def make_engine(place: Place) -> sa.Engine:
    """An engine for a place; nothing is connected yet."""
    if place.is_postgres:
        assert place.url is not None
        engine = sa.create_engine(
            place.url,
            pool_size=POSTGRES_THREADS,
            max_overflow=0,
            pool_timeout=_CONNECT_SECONDS,
            # A connection that the server dropped is noticed before it is used.
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "application_name": "sterna",
                # A server whose machine vanished without a word is noticed, too.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,
            },
        )
        sa.event.listen(engine, "connect", _prepare_postgres)
        return engine
    if place.url is None:
        # One connection, or each would have an empty database of its own.
        options: dict[str, Any] = {
            "poolclass": StaticPool,
            "connect_args": {"check_same_thread": False},
        }
        engine = sa.create_engine("sqlite://", **options)
    else:
        engine = sa.create_engine(place.url)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _file(path: Path) -> Place:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # It holds conversations and secrets.
            path.touch(mode=0o600)
        with path.open("ab"):
            pass
    except OSError as error:
        _log.warning(
            "sessions and webhooks are kept in memory only: the database cannot be written",
            extra={"path": str(path), "problem": error.strerror or str(error)},
        )
        return Place("memory", None)
    return Place(str(path), sa.URL.create("sqlite", database=str(path)), path)


def _need_psycopg() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise StartupError(
            "database_url names PostgreSQL, which needs psycopg: pip install "
            '"sterna-server[postgres]"'
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transactions begin late and leave out changes of the schema; see
    # `_begin_sqlite`.
    connection.isolation_level = None
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        # Readers and a writer at the same time. A crash of the machine may cost the last moments,
        # never the file; a crash of the process costs nothing.
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # IMMEDIATE waits for other writers here instead of failing at the first change.
    reading = connection.get_execution_options().get("sterna_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _prepare_postgres(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {_STATEMENT_MILLISECONDS}")
        cursor.execute(f"SET lock_timeout = {_BUSY_MILLISECONDS}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {2 * _STATEMENT_MILLISECONDS}")
        cursor.execute("SET TIME ZONE 'UTC'")
    connection.commit()
