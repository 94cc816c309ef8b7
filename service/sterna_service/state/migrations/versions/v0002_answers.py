"""Stored answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("response_id", sa.String(32), primary_key=True),
        sa.Column("previous_response_id", sa.String(32)),
        sa.Column("owner", sa.String(64)),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("expire_time", sa.BigInteger, nullable=False),
        sa.Column("ttl", sa.BigInteger, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("result", sa.LargeBinary, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("answers_by_expire_time", "answers", ["expire_time"])


def downgrade() -> None:
    op.drop_table("answers")
