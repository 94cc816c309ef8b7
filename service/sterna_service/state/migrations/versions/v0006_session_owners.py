"""Sessions belong to the API key that made them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Columns are added in place: to rewrite the table would delete the messages with it.
    op.add_column("sessions", sa.Column("owner", sa.String(64)))
    op.add_column("sessions", sa.Column("owned_id", sa.String(64)))


def downgrade() -> None:
    # Without owners everybody would see them.
    op.execute("DELETE FROM sessions WHERE owner IS NOT NULL")
    op.drop_column("sessions", "owned_id")
    op.drop_column("sessions", "owner")
