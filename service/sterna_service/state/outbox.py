"""What webhooks are owed: kept until it arrived, and taken by one server at a time."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from sterna_service.state.database import Database
from sterna_service.state.moments import microseconds, moment
from sterna_service.state.tables import webhook_attempts, webhook_deliveries, webhooks

_OWED = webhook_deliveries.c

_MOST_REPEATS = 10


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told: the name of the event, its revision, and the body."""

    event_type: str
    revision: int
    body: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something to send now. `secrets` holds one, or two while they are changed."""

    delivery_id: str
    webhook_id: str
    url: str
    secrets: tuple[str, ...]
    event_type: str
    revision: int
    body: str
    create_time: datetime
    attempt_count: int
    """Attempts that were made before."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `message` is empty if it arrived, `status` 0 without an answer."""

    status: int
    message: str
    next_attempt_time: datetime | None = None
    """When to try again; None: never."""
    disable: bool = False
    """Whether nothing more is to be sent to this webhook."""
    disable_unless_alive: bool = False
    """The same, unless something arrived since this delivery was put here."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a server took, and when the next thing is due that it may take."""

    deliveries: Sequence[Delivery]
    next_time: datetime | None


class Outbox:
    """Deliveries in the database. Several servers may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, notices: Sequence[Notice], now: datetime) -> int:
        """Owes these to every webhook that asked for them, whole or not at all; returns how many
        deliveries that makes."""
        query = sa.select(webhooks.c.webhook_id, webhooks.c.event_types).where(
            webhooks.c.disable_time.is_(None)
        )

        def work(connection: sa.Connection) -> int:
            wanted = [
                (webhook_id, frozenset(json.loads(names)))
                for webhook_id, names in connection.execute(query)
            ]
            rows = [
                {
                    "delivery_id": f"msg_{uuid.uuid4().hex}",
                    "webhook_id": webhook_id,
                    "event_type": notice.event_type,
                    "revision": notice.revision,
                    "body": notice.body,
                    "create_time": microseconds(now),
                    "attempt_count": 0,
                    "next_attempt_time": microseconds(now),
                }
                for notice in notices
                for webhook_id, names in wanted
                if notice.event_type in names
            ]
            if rows:
                connection.execute(sa.insert(webhook_deliveries), rows)
            return len(rows)

        for _ in range(_MOST_REPEATS):
            with contextlib.suppress(sa.exc.IntegrityError):
                return await self._database.run(work)
            # A webhook was deleted between the two statements: it is not asked again.
        return await self._database.run(work)

    async def claim(
        self,
        now: datetime,
        *,
        lease: timedelta,
        latest: timedelta,
        most: int,
        most_each: int,
        without: Collection[str],
    ) -> Claim:
        """Takes what is due: `most` deliveries, `most_each` of a webhook, none of `without`.

        What is taken is due again after `lease`, should this server not live to say how it ended.
        What is due later than `latest` from now was written before the clock was set back, and
        counts as due.
        """
        free = _OWED.webhook_id.not_in(list(without))
        due = sa.or_(
            _OWED.next_attempt_time <= microseconds(now),
            _OWED.next_attempt_time > microseconds(now + latest),
        )
        rank = sa.func.row_number().over(
            partition_by=_OWED.webhook_id, order_by=(_OWED.next_attempt_time, _OWED.revision)
        )
        ranked = sa.select(_OWED.delivery_id, rank.label("rank")).where(free, due).subquery()
        chosen = (
            sa.select(webhook_deliveries)
            .where(
                _OWED.delivery_id.in_(
                    sa.select(ranked.c.delivery_id).where(ranked.c.rank <= most_each)
                ),
                # Once more: another server may have taken it while this one waited.
                due,
            )
            .order_by(_OWED.next_attempt_time, _OWED.revision)
            .limit(most)
            # What another server is taking at this moment is left to it. SQLite, where only one
            # writes at a time, has no such clause and leaves it out.
            .with_for_update(skip_locked=True)
        )
        following = sa.select(sa.func.min(_OWED.next_attempt_time)).where(free)

        def work(connection: sa.Connection) -> Claim:
            rows = connection.execute(chosen).mappings().all() if most else []
            if rows:
                ids = [row["delivery_id"] for row in rows]
                connection.execute(
                    sa.update(webhook_deliveries)
                    .where(_OWED.delivery_id.in_(ids))
                    .values(next_attempt_time=microseconds(now + lease))
                )
            hooks = _hooks(connection, {row["webhook_id"] for row in rows})
            next_time = connection.scalar(following)
            return Claim(
                [
                    _delivery(row, hooks[row["webhook_id"]], microseconds(now))
                    for row in rows
                    if row["webhook_id"] in hooks  # not deleted at this moment
                ],
                None if next_time is None else moment(next_time),
            )

        return await self._database.run(work)

    async def finish(self, delivery: Delivery, outcome: Outcome, attempt_time: datetime) -> None:
        """Notes how an attempt ended, and what follows from it."""
        hook = webhooks.c.webhook_id == delivery.webhook_id
        this = _OWED.delivery_id == delivery.delivery_id
        arrived = not outcome.message
        then = outcome.next_attempt_time
        stamp = microseconds(attempt_time)

        def work(connection: sa.Connection) -> None:
            values: dict[str, Any] = {
                "last_success_time" if arrived else "last_failure_time": stamp,
            }
            row = connection.execute(
                sa.select(webhooks.c.last_success_time).where(hook).with_for_update()
            ).first()
            if row is None:
                return  # it was deleted meanwhile, with all that it was owed
            dead = row[0] is None or row[0] < microseconds(delivery.create_time)
            disable = outcome.disable or (outcome.disable_unless_alive and dead)
            if disable:
                values["disable_time"] = stamp
            connection.execute(sa.update(webhooks).where(hook).values(values))
            if then is not None:
                change = sa.update(webhook_deliveries).where(this)
                connection.execute(
                    change.values(
                        attempt_count=delivery.attempt_count + 1,
                        next_attempt_time=microseconds(then),
                    )
                )
            else:
                connection.execute(sa.delete(webhook_deliveries).where(this))
            if disable:
                connection.execute(
                    sa.delete(webhook_deliveries).where(_OWED.webhook_id == delivery.webhook_id)
                )
            connection.execute(
                sa.insert(webhook_attempts).values(
                    webhook_id=delivery.webhook_id,
                    delivery_id=delivery.delivery_id,
                    event_type=delivery.event_type,
                    revision=delivery.revision,
                    attempt_time=stamp,
                    attempt_count=delivery.attempt_count + 1,
                    http_status=outcome.status,
                    message=outcome.message,
                    next_attempt_time=None if then is None else microseconds(then),
                )
            )

        await self._database.run(work)

    async def give_up_beyond(self, most: int, now: datetime) -> list[str]:
        """Gives up the webhooks that are owed more than `most`; returns their ids."""
        crowded = (
            sa.select(_OWED.webhook_id).group_by(_OWED.webhook_id).having(sa.func.count() > most)
        )

        def work(connection: sa.Connection) -> list[str]:
            ids = list(connection.execute(crowded).scalars())
            if ids:
                connection.execute(
                    sa.update(webhooks)
                    .where(webhooks.c.webhook_id.in_(ids))
                    .values(disable_time=microseconds(now))
                )
                connection.execute(sa.delete(webhook_deliveries).where(_OWED.webhook_id.in_(ids)))
            return ids

        return await self._database.run(work)


def _hooks(connection: sa.Connection, ids: Collection[str]) -> dict[str, sa.RowMapping]:
    if not ids:
        return {}
    query = sa.select(webhooks).where(webhooks.c.webhook_id.in_(list(ids)))
    return {row["webhook_id"]: row for row in connection.execute(query).mappings()}


def _delivery(row: sa.RowMapping, hook: sa.RowMapping, now: int) -> Delivery:
    secrets = [hook["secret"]]
    if hook["old_secret"] is not None and hook["old_secret_until"] > now:
        secrets.append(hook["old_secret"])
    return Delivery(
        delivery_id=row["delivery_id"],
        webhook_id=row["webhook_id"],
        url=hook["url"],
        secrets=tuple(secrets),
        event_type=row["event_type"],
        revision=row["revision"],
        body=row["body"],
        create_time=moment(row["create_time"]),
        attempt_count=row["attempt_count"],
    )
