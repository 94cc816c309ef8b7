"""Webhooks as records: whom to tell what, and what was tried."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sterna_service.state.database import Database
from sterna_service.state.moments import microseconds, moment, moment_or_none
from sterna_service.state.tables import webhook_attempts, webhooks


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """A webhook without its secrets. Times know their zone."""

    webhook_id: str
    url: str
    event_types: tuple[str, ...]
    create_time: datetime
    disabled: bool = False
    last_success_time: datetime | None = None
    last_failure_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt to tell a webhook something; `message` is empty when it arrived."""

    attempt_id: int
    delivery_id: str
    webhook_id: str
    event_type: str
    revision: int
    attempt_time: datetime
    attempt_count: int
    http_status: int
    message: str
    next_attempt_time: datetime | None


class WebhookRepository:
    """Webhooks in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, record: WebhookRecord, secret: str, most: int) -> bool:
        """Keeps a new webhook; false if there are `most` already."""

        def work(connection: sa.Connection) -> bool:
            count = connection.scalar(sa.select(sa.func.count()).select_from(webhooks))
            if count is not None and count >= most:
                return False
            connection.execute(
                sa.insert(webhooks).values(
                    webhook_id=record.webhook_id,
                    url=record.url,
                    event_types=json.dumps(record.event_types),
                    secret=secret,
                    create_time=microseconds(record.create_time),
                )
            )
            return True

        return await self._database.run(work)

    async def get(self, webhook_id: str) -> WebhookRecord | None:
        """A webhook, or None."""
        query = sa.select(webhooks).where(webhooks.c.webhook_id == webhook_id)

        def work(connection: sa.Connection) -> WebhookRecord | None:
            row = connection.execute(query).mappings().first()
            return None if row is None else _record(row)

        return await self._database.read(work)

    async def page(self, count: int, after: tuple[datetime, str] | None) -> list[WebhookRecord]:
        """At most `count` webhooks, oldest first, behind the one that `after` names."""
        query = sa.select(webhooks)
        if after is not None:
            create_time, webhook_id = microseconds(after[0]), after[1]
            query = query.where(
                sa.or_(
                    webhooks.c.create_time > create_time,
                    sa.and_(
                        webhooks.c.create_time == create_time, webhooks.c.webhook_id > webhook_id
                    ),
                )
            )
        query = query.order_by(webhooks.c.create_time, webhooks.c.webhook_id).limit(count)

        def work(connection: sa.Connection) -> list[WebhookRecord]:
            return [_record(row) for row in connection.execute(query).mappings()]

        return await self._database.read(work)

    async def delete(self, webhook_id: str) -> bool:
        """Forgets a webhook, with what it was still owed; false if there is none."""
        change = sa.delete(webhooks).where(webhooks.c.webhook_id == webhook_id)
        return await self._database.run(lambda connection: connection.execute(change).rowcount == 1)

    async def rotate(self, webhook_id: str, secret: str, old_until: datetime) -> bool:
        """Gives a webhook a new secret; the present one signs beside it for so long."""
        change = (
            sa.update(webhooks)
            .where(webhooks.c.webhook_id == webhook_id)
            .values(
                old_secret=webhooks.c.secret,
                old_secret_until=microseconds(old_until),
                secret=secret,
            )
        )
        return await self._database.run(lambda connection: connection.execute(change).rowcount == 1)

    async def attempts(
        self, webhook_id: str, count: int, before: int | None
    ) -> Sequence[AttemptRecord]:
        """At most `count` attempts, latest first, those before the one of the id `before`."""
        query = sa.select(webhook_attempts).where(webhook_attempts.c.webhook_id == webhook_id)
        if before is not None:
            query = query.where(webhook_attempts.c.attempt_id < before)
        query = query.order_by(webhook_attempts.c.attempt_id.desc()).limit(count)

        def work(connection: sa.Connection) -> list[AttemptRecord]:
            return [_attempt(row) for row in connection.execute(query).mappings()]

        return await self._database.read(work)

    async def prune(self, before: datetime, most: int) -> int:
        """Removes attempts older than `before`, and all but the latest `most` of each webhook."""
        table = webhook_attempts.c
        rank = sa.func.row_number().over(
            partition_by=table.webhook_id, order_by=table.attempt_id.desc()
        )
        ranked = sa.select(table.attempt_id, rank.label("rank")).subquery()
        surplus = sa.select(ranked.c.attempt_id).where(ranked.c.rank > most)
        change = sa.delete(webhook_attempts).where(
            sa.or_(table.attempt_time < microseconds(before), table.attempt_id.in_(surplus))
        )
        return await self._database.run(lambda connection: connection.execute(change).rowcount)


def _record(row: sa.RowMapping) -> WebhookRecord:
    return WebhookRecord(
        webhook_id=row["webhook_id"],
        url=row["url"],
        event_types=tuple(json.loads(row["event_types"])),
        create_time=moment(row["create_time"]),
        disabled=row["disable_time"] is not None,
        last_success_time=moment_or_none(row["last_success_time"]),
        last_failure_time=moment_or_none(row["last_failure_time"]),
    )


def _attempt(row: sa.RowMapping) -> AttemptRecord:
    values: dict[str, Any] = dict(row)
    values["attempt_time"] = moment(row["attempt_time"])
    values["next_attempt_time"] = moment_or_none(row["next_attempt_time"])
    return AttemptRecord(**values)
