"""Usage by day, model and key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("model_id", sa.String(512), primary_key=True),
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("request_count", sa.BigInteger, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("audio_milliseconds", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("usage")
