"""Stored conversations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.String(64), primary_key=True),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("update_time", sa.BigInteger, nullable=False),
        sa.Column("expire_time", sa.BigInteger, nullable=False),
        sa.Column("ttl", sa.BigInteger, nullable=False),
        sa.Column("message_count", sa.Integer, nullable=False),
    )
    op.create_index("sessions_by_update_time", "sessions", ["update_time", "session_id"])
    op.create_index("sessions_by_expire_time", "sessions", ["expire_time"])
    op.create_table(
        "session_messages",
        sa.Column(
            "session_id",
            sa.String(64),
            sa.ForeignKey("sessions.session_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("message", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("session_messages")
    op.drop_table("sessions")
