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
    Column("session_id", String(64), primary_key=True),
    Column("model_id", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    Column("expire_time", BigInteger, nullable=False),
    Column("ttl", BigInteger, nullable=False),
    Column("message_count", Integer, nullable=False),
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
