"""Webhooks, what they are still owed, and what was tried."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _webhook_id() -> sa.Column[str]:
    return sa.Column(
        "webhook_id",
        sa.String(64),
        sa.ForeignKey("webhooks.webhook_id", ondelete="CASCADE"),
        nullable=False,
    )


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.String(64), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("event_types", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("old_secret", sa.Text),
        sa.Column("old_secret_until", sa.BigInteger),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("disable_time", sa.BigInteger),
        sa.Column("last_success_time", sa.BigInteger),
        sa.Column("last_failure_time", sa.BigInteger),
    )
    op.create_index("webhooks_by_create_time", "webhooks", ["create_time", "webhook_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", sa.String(64), primary_key=True),
        _webhook_id(),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("attempt_count", sa.Integer, nullable=False),
        sa.Column("next_attempt_time", sa.BigInteger, nullable=False),
    )
    op.create_index("webhook_deliveries_by_time", "webhook_deliveries", ["next_attempt_time"])
    op.create_index("webhook_deliveries_by_webhook", "webhook_deliveries", ["webhook_id"])
    op.create_table(
        "webhook_attempts",
        sa.Column(
            "attempt_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True
        ),
        _webhook_id(),
        sa.Column("delivery_id", sa.String(64), nullable=False),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("attempt_time", sa.BigInteger, nullable=False),
        sa.Column("attempt_count", sa.Integer, nullable=False),
        sa.Column("http_status", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("next_attempt_time", sa.BigInteger),
    )
    op.create_index("webhook_attempts_by_webhook", "webhook_attempts", ["webhook_id", "attempt_id"])
    op.create_index("webhook_attempts_by_time", "webhook_attempts", ["attempt_time"])


def downgrade() -> None:
    op.drop_table("webhook_attempts")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
