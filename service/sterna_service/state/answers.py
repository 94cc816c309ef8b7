"""Stored answers, as records. Messages are JSON objects whose meaning is the caller's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from sterna_service.state.database import Database
from sterna_service.state.moments import MICROSECOND, microseconds, moment
from sterna_service.state.sessions import Document
from sterna_service.state.tables import answers

# Of one statement; SQLite takes 32766 parameters.
_MOST_IDS = 10_000


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """What was asked, what was answered, and what that followed. Times know their zone."""

    response_id: str
    previous_response_id: str
    """Empty: it begins a conversation."""
    owner: str | None
    """Who may see it; None: everybody."""
    model_id: str
    create_time: datetime
    expire_time: datetime
    ttl: timedelta
    messages: Sequence[Document]
    answer: Document
    result: bytes
    """The answer with everything about it, in the protocol's own form."""
    document: str


class AnswerRepository(Protocol):
    """Where answers are kept. Those that have expired, or have another owner, are not there."""

    async def add(self, record: AnswerRecord, follows: Sequence[str]) -> None:
        """Keeps an answer, and what it `follows` at least as long."""
        ...

    async def chain(self, response_id: str, owner: str | None, now: datetime) -> list[AnswerRecord]:
        """The answer and, before it, what it follows as far as that is there, oldest first."""
        ...

    async def delete(self, response_id: str, owner: str | None, now: datetime) -> bool:
        """Forgets an answer; false if there is none."""
        ...

    async def purge(self, now: datetime) -> int:
        """Removes what has expired; returns how many there were."""
        ...


class SqlAnswerRepository:
    """Answers in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: AnswerRecord, follows: Sequence[str]) -> None:
        end = microseconds(record.expire_time)

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.insert(answers).values(_row(record)))
            for first in range(0, len(follows), _MOST_IDS):
                connection.execute(
                    sa.update(answers)
                    .where(
                        answers.c.response_id.in_(follows[first : first + _MOST_IDS]),
                        answers.c.expire_time < end,
                    )
                    .values(expire_time=end)
                )

        await self._database.run(work)

    async def chain(self, response_id: str, owner: str | None, now: datetime) -> list[AnswerRecord]:
        start = sa.select(
            answers.c.response_id, answers.c.previous_response_id, sa.literal(0).label("distance")
        ).where(_visible(owner, now), answers.c.response_id == response_id)
        links = start.cte("links", recursive=True)
        links = links.union_all(
            sa.select(
                answers.c.response_id, answers.c.previous_response_id, links.c.distance + 1
            ).where(_visible(owner, now), answers.c.response_id == links.c.previous_response_id)
        )
        query = (
            sa.select(answers)
            .join(links, links.c.response_id == answers.c.response_id)
            .order_by(links.c.distance.desc())
        )

        def work(connection: sa.Connection) -> list[AnswerRecord]:
            return [_record(row) for row in connection.execute(query).mappings()]

        return await self._database.read(work)

    async def delete(self, response_id: str, owner: str | None, now: datetime) -> bool:
        change = sa.delete(answers).where(
            _visible(owner, now), answers.c.response_id == response_id
        )
        return await self._database.run(lambda connection: connection.execute(change).rowcount == 1)

    async def purge(self, now: datetime) -> int:
        change = sa.delete(answers).where(answers.c.expire_time <= microseconds(now))
        return await self._database.run(lambda connection: connection.execute(change).rowcount)


def _visible(owner: str | None, now: datetime) -> sa.ColumnElement[bool]:
    alive = answers.c.expire_time > microseconds(now)
    # `== None` is IS NULL.
    return sa.and_(alive, answers.c.owner == owner)


def _row(record: AnswerRecord) -> dict[str, Any]:
    return {
        "response_id": record.response_id,
        "previous_response_id": record.previous_response_id or None,
        "owner": record.owner,
        "model_id": record.model_id,
        "create_time": microseconds(record.create_time),
        "expire_time": microseconds(record.expire_time),
        "ttl": record.ttl // MICROSECOND,
        "messages": json.dumps(list(record.messages), ensure_ascii=False),
        "answer": json.dumps(record.answer, ensure_ascii=False),
        "result": record.result,
        "document": record.document,
    }


def _record(row: sa.RowMapping) -> AnswerRecord:
    return AnswerRecord(
        response_id=row["response_id"],
        previous_response_id=row["previous_response_id"] or "",
        owner=row["owner"],
        model_id=row["model_id"],
        create_time=moment(row["create_time"]),
        expire_time=moment(row["expire_time"]),
        ttl=row["ttl"] * MICROSECOND,
        messages=json.loads(row["messages"]),
        answer=json.loads(row["answer"]),
        result=row["result"],
        document=row["document"],
    )
