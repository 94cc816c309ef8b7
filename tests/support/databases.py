"""Databases for tests: files of SQLite, and databases of a PostgreSQL server that a test runs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

POSTGRES_VARIABLE = "STERNA_TEST_POSTGRES"
"""A PostgreSQL server on which tests may make databases; `make postgres-test` sets it."""

KINDS = ["postgresql"] if POSTGRES_VARIABLE in os.environ else ["sqlite"]
"""The databases that tests run on: `make test` and `make postgres-test` share the work."""

_numbers = itertools.count()


@contextmanager
def new_database(kind: str, directory: Path) -> Iterator[Path | str]:
    """An empty database, as `Database.open` takes it."""
    if kind == "sqlite":
        yield directory / "state.db"
        return
    server = sa.make_url(os.environ[POSTGRES_VARIABLE]).set(drivername="postgresql+psycopg")
    name = f"test_{os.getpid()}_{next(_numbers)}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield server.set(drivername="postgresql", database=name).render_as_string(
            hide_password=False
        )
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
