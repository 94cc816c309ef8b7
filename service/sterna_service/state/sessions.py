"""Stored conversations, as records. Messages are JSON objects whose meaning is the caller's."""

from __future__ import annotations

import hashlib
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
    owner: str | None
    """Who may see it; None: everybody who knows the id."""

    @property
    def row_id(self) -> str:
        """What no other conversation in the database has."""
        return row_id(self.session_id, self.owner)


def row_id(session_id: str, owner: str | None) -> str:
    """The primary key of a conversation, at most 64 characters.

    Ids are unique for each owner: whoever chooses one learns nothing of those of others. The dot,
    which no id has, keeps owned ones apart from the rest.
    """
    if owner is None:
        return session_id
    return "." + hashlib.sha256(f"{owner} {session_id}".encode()).hexdigest()[:63]


class SessionRepository(Protocol):
    """Where conversations are kept. Those that have expired, or have another owner, are not there.

    What has no owner is there for everybody.
    """

    async def create(
        self, record: SessionRecord, messages: Sequence[Document], *, over_expired: bool
    ) -> bool:
        """Keeps a new conversation; false if its owner sees one of that id already.

        `over_expired` says whether one of that id that has expired gives way.
        """
        ...

    async def get(self, session_id: str, owner: str | None, now: datetime) -> SessionRecord | None:
        """A conversation, or None. One of the owner goes before one that has none."""
        ...

    async def messages(self, record: SessionRecord) -> list[Document]:
        """The messages of a conversation, oldest first; none if there is no such conversation."""
        ...

    async def page(
        self, now: datetime, count: int, after: tuple[datetime, str] | None
    ) -> list[SessionRecord]:
        """At most `count` conversations of everybody, last updated first, then by `row_id`.

        `after` is the `(update_time, row_id)` behind which the page begins.
        """
        ...

    async def append(
        self, before: SessionRecord, messages: Sequence[Document], now: datetime
    ) -> bool:
        """Adds messages to a conversation that still is what `before` says; false if it is not."""
        ...

    async def delete(self, record: SessionRecord, now: datetime) -> bool:
        """Forgets a conversation; false if it is not there any more."""
        ...

    async def purge(self, now: datetime, spare: Collection[str]) -> int:
        """Removes what has expired, except the rows `spare`; returns how many there were."""
        ...


class SqlSessionRepository:
    """Conversations in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, record: SessionRecord, messages: Sequence[Document], *, over_expired: bool
    ) -> bool:
        alive = _alive(record.create_time)
        own = sessions.c.session_id == record.row_id
        everybodys = sa.and_(sessions.c.session_id == record.session_id, alive)
        expired = sa.delete(sessions).where(own, ~alive)
        taken = sa.select(sessions.c.session_id).where(sa.or_(own, everybodys))

        def work(connection: sa.Connection) -> bool:
            if over_expired:
                connection.execute(expired)
            if connection.execute(taken).first() is not None:
                return False
            connection.execute(sa.insert(sessions).values(_row(record)))
            _add_messages(connection, record.row_id, 0, messages)
            return True

        try:
            return await self._database.run(work)
        except sa.exc.IntegrityError:
            return False  # another server was faster

    async def get(self, session_id: str, owner: str | None, now: datetime) -> SessionRecord | None:
        own = sa.and_(sessions.c.session_id == row_id(session_id, owner), sessions.c.owner == owner)
        everybodys = sa.and_(sessions.c.session_id == session_id, sessions.c.owner.is_(None))
        query = (
            sa.select(sessions)
            .where(_alive(now), sa.or_(own, everybodys))
            .order_by(sa.case((sessions.c.owner.is_(None), 1), else_=0))
        )

        def work(connection: sa.Connection) -> SessionRecord | None:
            row = connection.execute(query).mappings().first()
            return None if row is None else _record(row)

        return await self._database.read(work)

    async def messages(self, record: SessionRecord) -> list[Document]:
        query = (
            sa.select(session_messages.c.message)
            .where(session_messages.c.session_id == record.row_id)
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
            update_time, row = microseconds(after[0]), after[1]
            query = query.where(
                sa.or_(
                    sessions.c.update_time < update_time,
                    sa.and_(sessions.c.update_time == update_time, sessions.c.session_id > row),
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
                sessions.c.session_id == before.row_id,
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
            _add_messages(connection, before.row_id, before.message_count, messages)
            return True

        return await self._database.run(work)

    async def delete(self, record: SessionRecord, now: datetime) -> bool:
        change = sa.delete(sessions).where(_alive(now), sessions.c.session_id == record.row_id)
        return await self._database.run(lambda connection: connection.execute(change).rowcount == 1)

    async def purge(self, now: datetime, spare: Collection[str]) -> int:
        change = sa.delete(sessions).where(~_alive(now), sessions.c.session_id.not_in(list(spare)))
        return await self._database.run(lambda connection: connection.execute(change).rowcount)


def _add_messages(
    connection: sa.Connection, row: str, first: int, messages: Sequence[Document]
) -> None:
    rows = [
        {
            "session_id": row,
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
        "session_id": record.row_id,
        "model_id": record.model_id,
        "create_time": microseconds(record.create_time),
        "update_time": microseconds(record.update_time),
        "expire_time": microseconds(record.expire_time),
        "ttl": record.ttl // MICROSECOND,
        "message_count": record.message_count,
        "owner": record.owner,
        "owned_id": None if record.owner is None else record.session_id,
    }


def _record(row: sa.RowMapping) -> SessionRecord:
    return SessionRecord(
        session_id=row["owned_id"] or row["session_id"],
        model_id=row["model_id"],
        create_time=moment(row["create_time"]),
        update_time=moment(row["update_time"]),
        expire_time=moment(row["expire_time"]),
        ttl=row["ttl"] * MICROSECOND,
        message_count=row["message_count"],
        owner=row["owner"],
    )
