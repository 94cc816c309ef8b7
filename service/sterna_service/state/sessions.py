"""Stored conversations, as records. Messages are JSON objects whose meaning is the caller's."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from sterna_service.state.database import Database
from sterna_service.state.moments import MICROSECOND, microseconds, moment
from sterna_service.state.tables import session_messages, sessions

Document = Mapping[str, Any]
"""A message as a JSON object."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A conversation without its messages. Times know their zone."""

    session_id: str
    model_id: str
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    ttl: timedelta
    message_count: int


class SessionRepository(Protocol):
    """Where conversations are kept. Those that have expired are not there."""

    async def create(
        self, record: SessionRecord, messages: Sequence[Document], *, over_expired: bool
    ) -> bool:
        """Keeps a new conversation; false if its id is taken.

        `over_expired` says whether one of that id that has expired gives way.
        """
        ...

    async def get(self, session_id: str, now: datetime) -> SessionRecord | None:
        """A conversation, or None."""
        ...

    async def messages(self, session_id: str) -> list[Document]:
        """The messages of a conversation, oldest first; none if there is no such conversation."""
        ...

    async def page(
        self, now: datetime, count: int, after: tuple[datetime, str] | None
    ) -> list[SessionRecord]:
        """At most `count` conversations, last updated first, then by id.

        `after` is the `(update_time, session_id)` behind which the page begins.
        """
        ...

    async def append(
        self, before: SessionRecord, messages: Sequence[Document], now: datetime
    ) -> bool:
        """Adds messages to a conversation that still is what `before` says; false if it is not."""
        ...

    async def delete(self, session_id: str, now: datetime) -> bool:
        """Forgets a conversation; false if there is none."""
        ...

    async def purge(self, now: datetime, spare: Collection[str]) -> int:
        """Removes what has expired, except `spare`; returns how many there were."""
        ...


class SqlSessionRepository:
    """Conversations in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, record: SessionRecord, messages: Sequence[Document], *, over_expired: bool
    ) -> bool:
        expired = sa.delete(sessions).where(
            sessions.c.session_id == record.session_id, ~_alive(record.create_time)
        )

        def work(connection: sa.Connection) -> bool:
            if over_expired:
                connection.execute(expired)
            taken = sa.select(sessions.c.session_id).where(
                sessions.c.session_id == record.session_id
            )
            if connection.execute(taken).first() is not None:
                return False
            connection.execute(sa.insert(sessions).values(_row(record)))
            _add_messages(connection, record.session_id, 0, messages)
            return True

        try:
            return await self._database.run(work)
        except sa.exc.IntegrityError:
            return False  # another server was faster

    async def get(self, session_id: str, now: datetime) -> SessionRecord | None:
        query = sa.select(sessions).where(_alive(now), sessions.c.session_id == session_id)

        def work(connection: sa.Connection) -> SessionRecord | None:
            row = connection.execute(query).mappings().first()
            return None if row is None else _record(row)

        return await self._database.read(work)

    async def messages(self, session_id: str) -> list[Document]:
        query = (
            sa.select(session_messages.c.message)
            .where(session_messages.c.session_id == session_id)
            .order_by(session_messages.c.position)
        )

        def work(connection: sa.Connection) -> list[Document]:
            return [json.loads(text) for text in connection.execute(query).scalars()]

        return await self._database.read(work)

    async def page(
        self, now: datetime, count: int, after: tuple[datetime, str] | None
    ) -> list[SessionRecord]:
        query = sa.select(sessions).where(_alive(now))
        if after is not None:
            update_time, session_id = microseconds(after[0]), after[1]
            query = query.where(
                sa.or_(
                    sessions.c.update_time < update_time,
                    sa.and_(
                        sessions.c.update_time == update_time, sessions.c.session_id > session_id
                    ),
                )
            )
        query = query.order_by(sessions.c.update_time.desc(), sessions.c.session_id).limit(count)

        def work(connection: sa.Connection) -> list[SessionRecord]:
            return [_record(row) for row in connection.execute(query).mappings()]

        return await self._database.read(work)

    async def append(
        self, before: SessionRecord, messages: Sequence[Document], now: datetime
    ) -> bool:
        # Another process may use the same database: what was read must still hold.
        change = (
            sa.update(sessions)
            .where(
                sessions.c.session_id == before.session_id,
                sessions.c.create_time == microseconds(before.create_time),
                sessions.c.message_count == before.message_count,
            )
            .values(
                message_count=before.message_count + len(messages),
                update_time=microseconds(now),
                expire_time=microseconds(now + before.ttl),
            )
        )

        def work(connection: sa.Connection) -> bool:
            if connection.execute(change).rowcount != 1:
                return False
            _add_messages(connection, before.session_id, before.message_count, messages)
            return True

        return await self._database.run(work)

    async def delete(self, session_id: str, now: datetime) -> bool:
        change = sa.delete(sessions).where(_alive(now), sessions.c.session_id == session_id)
        return await self._database.run(lambda connection: connection.execute(change).rowcount == 1)

    async def purge(self, now: datetime, spare: Collection[str]) -> int:
        change = sa.delete(sessions).where(~_alive(now), sessions.c.session_id.not_in(list(spare)))
        return await self._database.run(lambda connection: connection.execute(change).rowcount)


def _add_messages(
    connection: sa.Connection, session_id: str, first: int, messages: Sequence[Document]
) -> None:
    rows = [
        {
            "session_id": session_id,
            "position": first + index,
            "message": json.dumps(message, ensure_ascii=False),
        }
        for index, message in enumerate(messages)
    ]
    if rows:
        connection.execute(sa.insert(session_messages), rows)


def _alive(now: datetime) -> sa.ColumnElement[bool]:
    return sessions.c.expire_time > microseconds(now)


def _row(record: SessionRecord) -> dict[str, Any]:
    return {
        "session_id": record.session_id,
        "model_id": record.model_id,
        "create_time": microseconds(record.create_time),
        "update_time": microseconds(record.update_time),
        "expire_time": microseconds(record.expire_time),
        "ttl": record.ttl // MICROSECOND,
        "message_count": record.message_count,
    }


def _record(row: sa.RowMapping) -> SessionRecord:
    return SessionRecord(
        session_id=row["session_id"],
        model_id=row["model_id"],
        create_time=moment(row["create_time"]),
        update_time=moment(row["update_time"]),
        expire_time=moment(row["expire_time"]),
        ttl=row["ttl"] * MICROSECOND,
        message_count=row["message_count"],
    )
