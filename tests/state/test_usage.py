"""What was used: counted, written in batches, read again."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sterna_service.errors import Reason, ServiceError
from sterna_service.state.database import Database
from sterna_service.state.usage import Counts, UsageKey, UsageRepository, total
from sterna_service.telemetry.usage import UsageBook

TODAY = date(2030, 1, 2)
FIRST = date(2030, 1, 1)


def answered(model: str = "m", key: str = "", **more: object) -> dict[str, object]:
    tokens = {"prompt_tokens": 10, "cached_tokens": 4, "completion_tokens": 3}
    return {"model": model, "request": "x", **tokens, **({"key": key} if key else {}), **more}


class Clock:
    """A clock that is set."""

    now = datetime(2030, 1, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_calls_add_up(database: Database) -> None:
    repository, clock = UsageRepository(database), Clock()
    book = UsageBook(repository, clock)
    book.note(answered())
    book.note(answered())
    await book.flush()
    book.note(answered())
    book.note(answered(key="k"))
    book.note({"model": "whisper", "audio_seconds": 1.25})
    book.note({"model": "m"})  # it used nothing
    clock.now = datetime(2030, 1, 1, 23, 59, tzinfo=UTC)
    book.note(answered())
    await book.flush()
    await book.flush()
    found = await repository.page(FIRST, TODAY)
    assert [(each.key, each.counts) for each in found] == [
        (UsageKey(TODAY, "m", ""), Counts(3, 30, 12, 9, 0)),
        (UsageKey(TODAY, "m", "k"), Counts(1, 10, 4, 3, 0)),
        (UsageKey(TODAY, "whisper", ""), Counts(1, 0, 0, 0, 1250)),
        (UsageKey(FIRST, "m", ""), Counts(1, 10, 4, 3, 0)),
    ]
    assert total(found) == Counts(6, 50, 20, 15, 1250)
    assert [each.key for each in await repository.page(FIRST, FIRST)] == [UsageKey(FIRST, "m", "")]
    assert len(await repository.page(FIRST, TODAY, model_id="m")) == 3
    assert len(await repository.page(FIRST, TODAY, key_id="k")) == 1
    pages = []
    after = None
    while page := await repository.page(FIRST, TODAY, count=1, after=after):
        pages += page
        after = page[-1].key
    assert pages == found


async def test_servers_add_to_the_same_rows(database_place: Path | str) -> None:
    databases = await asyncio.gather(*(Database.open(database_place) for _ in range(3)))
    repositories = [UsageRepository(each) for each in databases]
    keys = [UsageKey(TODAY, f"m{number}", "") for number in range(20)]
    await asyncio.gather(
        *(
            each.add({key: Counts(1, 2, 0, 3, 0) for key in keys})
            for each in repositories
            for _ in range(5)
        )
    )
    found = await repositories[0].page(TODAY, TODAY)
    assert {each.counts.completion_tokens for each in found} == {45}
    for each in databases:
        await each.close()


async def test_while_the_database_is_away_nothing_is_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = UsageRepository(database)
    book = UsageBook(repository, Clock())
    book.note(answered())

    async def fail(*_: object) -> None:
        raise ServiceError(Reason.STATE_UNAVAILABLE, "away")

    with monkeypatch.context() as patch:
        patch.setattr(UsageRepository, "add", fail)
        with pytest.raises(ServiceError):
            await book.flush()
        book.note(answered())
        await book.close()
    await book.close()
    (row,) = await repository.page(TODAY, TODAY)
    assert row.counts == Counts(2, 20, 8, 6, 0)
