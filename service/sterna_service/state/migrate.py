"""Brings a database to the schema of this version."""

from __future__ import annotations

import sqlalchemy as sa

from sterna_service.errors import StartupError

NEWEST_REVISION = "0006"
"""The schema of this version: the last of `migrations/versions`."""

# Held while a server migrates; any number that nobody else uses.
_POSTGRES_LOCK = 0x5374_6572_6E61_0001


def migrate(connection: sa.Connection, name: str) -> None:
    """Brings the schema up to date, inside of the connection's transaction.

    On PostgreSQL a second server waits until the first one is done; on SQLite the transaction
    itself keeps it out. `name` is what messages call the database.

    Raises:
        StartupError: A newer version of the server wrote it.
    """
    if connection.dialect.name == "postgresql":
        for name_of_limit in ("lock_timeout", "statement_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {name_of_limit} = 0")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
    if revision_of(connection) == NEWEST_REVISION:
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
            f"{name}: a newer version of the server wrote it (revision "
            f"{revision_of(connection)!r}); start that version, or begin with an empty database"
        ) from None


def revision_of(connection: sa.Connection) -> str | None:
    """The schema of a database; None: it has none yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
