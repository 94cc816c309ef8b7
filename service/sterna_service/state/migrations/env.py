"""Run by Alembic: migrates the connection that `state.database` hands over."""

from __future__ import annotations

from alembic import context

from sterna_service.state.tables import metadata

# The connection is inside of a transaction of its own, which also covers the changes made here.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most of a table; this rewrites it instead.
    render_as_batch=True,
)
context.run_migrations()
