"""The schema as the code sees it; `migrations` is how a database gets there.

Times are whole microseconds since 1970, UTC; spans of time are whole microseconds.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    # The id that callers know; with an owner, what `state.sessions.row_id` makes of both.
    Column("session_id", String(64), primary_key=True),
    Column("model_id", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    Column("expire_time", BigInteger, nullable=False),
    Column("ttl", BigInteger, nullable=False),
    Column("message_count", Integer, nullable=False),
    # Who may see it; NULL: everybody who knows the id.
    Column("owner", String(64)),
    # The id that the owner knows; NULL without one.
    Column("owned_id", String(64)),
    Index("sessions_by_update_time", "update_time", "session_id"),
    Index("sessions_by_expire_time", "expire_time"),
)

session_messages = Table(
    "session_messages",
    metadata,
    Column(
        "session_id",
        String(64),
        ForeignKey("sessions.session_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    # From 0, without gaps.
    Column("position", Integer, primary_key=True),
    # A JSON object.
    Column("message", Text, nullable=False),
)

answers = Table(
    "answers",
    metadata,
    Column("response_id", String(32), primary_key=True),
    # The answer that this one follows. That may be forgotten meanwhile, so it is no foreign key.
    Column("previous_response_id", String(32)),
    # Who may see it; NULL: everybody, as long as there are no keys.
    Column("owner", String(64)),
    Column("model_id", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("expire_time", BigInteger, nullable=False),
    Column("ttl", BigInteger, nullable=False),
    # A JSON list of what was asked, and the answer as a message: a JSON object.
    Column("messages", Text, nullable=False),
    Column("answer", Text, nullable=False),
    # A serialized sterna.v1.StoredAnswer with the choice and the usage only.
    Column("result", LargeBinary, nullable=False),
    Column("document", Text, nullable=False),
    Index("answers_by_expire_time", "expire_time"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("webhook_id", String(64), primary_key=True),
    Column("url", Text, nullable=False),
    # A JSON list of the events' names.
    Column("event_types", Text, nullable=False),
    Column("secret", Text, nullable=False),
    # The secret before that, and until when it signs, too.
    Column("old_secret", Text),
    Column("old_secret_until", BigInteger),
    Column("create_time", BigInteger, nullable=False),
    # When it was given up.
    Column("disable_time", BigInteger),
    Column("last_success_time", BigInteger),
    Column("last_failure_time", BigInteger),
    Index("webhooks_by_create_time", "create_time", "webhook_id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # What has not arrived yet; the id is the header `webhook-id`.
    Column("delivery_id", String(64), primary_key=True),
    Column(
        "webhook_id",
        String(64),
        ForeignKey("webhooks.webhook_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("event_type", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
    # The very text that is signed and sent.
    Column("body", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    # Attempts that failed.
    Column("attempt_count", Integer, nullable=False),
    # While an attempt is under way: when it is taken for lost.
    Column("next_attempt_time", BigInteger, nullable=False),
    Index("webhook_deliveries_by_time", "next_attempt_time"),
    Index("webhook_deliveries_by_webhook", "webhook_id"),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    # SQLite counts by itself only in this type.
    Column("attempt_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column(
        "webhook_id",
        String(64),
        ForeignKey("webhooks.webhook_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("delivery_id", String(64), nullable=False),
    Column("event_type", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("attempt_time", BigInteger, nullable=False),
    Column("attempt_count", Integer, nullable=False),
    Column("http_status", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("next_attempt_time", BigInteger),
    Index("webhook_attempts_by_webhook", "webhook_id", "attempt_id"),
    Index("webhook_attempts_by_time", "attempt_time"),
)

api_keys = Table(
    "api_keys",
    metadata,
    # The public part of the key.
    Column("key_id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    # SHA-256 of the key, in hexadecimal.
    Column("digest", String(64), nullable=False),
    # Names with a blank between them.
    Column("scopes", Text, nullable=False),
    # A JSON object.
    Column("limits", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("expire_time", BigInteger),
    Column("revoke_time", BigInteger),
    Column("last_use_time", BigInteger),
)

usage = Table(
    "usage",
    metadata,
    # Of the calls' ends, in UTC: YYYY-MM-DD.
    Column("day", String(10), primary_key=True),
    # Empty: no model was needed.
    Column("model_id", String(512), primary_key=True),
    # Empty: nobody had to show a key.
    Column("key_id", String(64), primary_key=True),
    Column("request_count", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("audio_milliseconds", BigInteger, nullable=False),
)
