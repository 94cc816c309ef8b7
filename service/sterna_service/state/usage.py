"""What was used, by day, model and key, as records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from sterna_service.state.database import Database
from sterna_service.state.tables import usage


@dataclass(frozen=True, slots=True, order=True)
class UsageKey:
    """What is counted together; the ids are empty where there is none."""

    day: date
    model_id: str
    key_id: str


@dataclass(slots=True)
class Counts:
    """What was used."""

    request_count: int = 0
    prompt_tokens: int = 0
    """Cached ones among them."""
    cached_tokens: int = 0
    completion_tokens: int = 0
    audio_milliseconds: int = 0

    def add(self, other: Counts) -> None:
        """Adds `other` to this."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One row."""

    key: UsageKey
    counts: Counts


class UsageRepository:
    """Usage in the database. Several servers may add to the same rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, counted: Mapping[UsageKey, Counts]) -> None:
        """Adds to what is there, all or nothing."""
        # In one order, so that servers which write the same rows do not wait for each other in a
        # circle.
        rows = [_row(key, counted[key]) for key in sorted(counted)]
        if not rows:
            return
        insert = postgresql.insert if self._database.place.is_postgres else sqlite.insert
        statement = insert(usage)
        names = [each.name for each in fields(Counts)]
        change = statement.on_conflict_do_update(
            index_elements=list(usage.primary_key.columns),
            set_={name: usage.c[name] + statement.excluded[name] for name in names},
        )
        await self._database.run(lambda connection: connection.execute(change, rows))

    async def page(
        self,
        first: date,
        last: date,
        *,
        model_id: str = "",
        key_id: str = "",
        count: int | None = None,
        after: UsageKey | None = None,
    ) -> list[UsageRecord]:
        """Days from `first` to `last`, latest first, then by model and key.

        `model_id` and `key_id` that are not empty leave out all others; `after` is the row behind
        which the page of `count` begins.
        """
        table = usage.c
        query = sa.select(usage).where(table.day.between(first.isoformat(), last.isoformat()))
        if model_id:
            query = query.where(table.model_id == model_id)
        if key_id:
            query = query.where(table.key_id == key_id)
        if after is not None:
            day = after.day.isoformat()
            query = query.where(
                sa.or_(
                    table.day < day,
                    sa.and_(table.day == day, table.model_id > after.model_id),
                    sa.and_(
                        table.day == day,
                        table.model_id == after.model_id,
                        table.key_id > after.key_id,
                    ),
                )
            )
        query = query.order_by(table.day.desc(), table.model_id, table.key_id).limit(count)

        def work(connection: sa.Connection) -> list[UsageRecord]:
            return [_record(row) for row in connection.execute(query).mappings()]

        return await self._database.read(work)


def total(records: Iterable[UsageRecord]) -> Counts:
    """All of them together."""
    counts = Counts()
    for each in records:
        counts.add(each.counts)
    return counts


def _row(key: UsageKey, counts: Counts) -> dict[str, object]:
    row: dict[str, object] = {each.name: getattr(counts, each.name) for each in fields(counts)}
    return row | {"day": key.day.isoformat(), "model_id": key.model_id, "key_id": key.key_id}


def _record(row: sa.RowMapping) -> UsageRecord:
    return UsageRecord(
        UsageKey(date.fromisoformat(row["day"]), row["model_id"], row["key_id"]),
        Counts(**{each.name: row[each.name] for each in fields(Counts)}),
    )
