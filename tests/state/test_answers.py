"""Stored answers without a server: expiry, owners, chains."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sterna_service.state.answers import AnswerRecord, SqlAnswerRepository
from sterna_service.state.database import Database

NOW = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def repository(database: Database) -> SqlAnswerRepository:
    return SqlAnswerRepository(database)


def record(name: str, previous: str = "", *, at: datetime = NOW) -> AnswerRecord:
    return AnswerRecord(
        response_id=name,
        previous_response_id=previous,
        owner=None,
        model_id="m",
        create_time=at,
        expire_time=at + HOUR,
        ttl=HOUR,
        messages=[{"role": "user", "content": "Hi 🐦\x00 <|eot_id|>"}],
        answer={"role": "assistant", "content": "Hello."},
        result=b"\x00\xff",
        document='{"a": 1}',
    )


async def names(
    repository: SqlAnswerRepository, name: str, *, owner: str | None = None, at: datetime = NOW
) -> list[str]:
    return [each.response_id for each in await repository.chain(name, owner, at)]


async def test_a_record_comes_back_as_it_was(repository: SqlAnswerRepository) -> None:
    await repository.add(record("a"), [])
    assert await repository.chain("a", None, NOW) == [record("a")]
    assert await repository.chain("b", None, NOW) == []


async def test_chains_fork_and_break(repository: SqlAnswerRepository) -> None:
    for name, previous in (("a", ""), ("b", "a"), ("c", "b"), ("d", "b")):
        await repository.add(record(name, previous), [])
    assert await names(repository, "c") == ["a", "b", "c"]
    assert await names(repository, "d") == ["a", "b", "d"]
    assert await repository.delete("b", None, NOW)
    assert not await repository.delete("b", None, NOW)
    assert await names(repository, "c") == ["c"]
    assert await names(repository, "a") == ["a"]


async def test_to_continue_an_answer_is_to_use_all_of_it(repository: SqlAnswerRepository) -> None:
    later = NOW + HOUR / 2
    await repository.add(record("a"), [])
    await repository.add(record("other"), [])
    await repository.add(record("b", "a", at=later), ["a"])
    assert await names(repository, "b", at=NOW + HOUR) == ["a", "b"]
    assert await names(repository, "other", at=NOW + HOUR) == []
    assert await repository.purge(NOW + HOUR) == 1
    assert await repository.purge(later + HOUR) == 2


async def test_a_long_chain(repository: SqlAnswerRepository) -> None:
    previous: list[str] = []
    for number in range(1200):
        name = f"{number:032x}"
        await repository.add(record(name, previous[-1] if previous else ""), [])
        previous.append(name)
    assert await names(repository, previous[-1]) == previous
    await repository.add(record("end", previous[-1], at=NOW + HOUR / 2), previous)
    assert len(await names(repository, "end", at=NOW + HOUR)) == 1201


async def test_nobody_sees_what_another_owns(repository: SqlAnswerRepository) -> None:
    await repository.add(replace(record("a"), owner="ann"), [])
    await repository.add(replace(record("b", "a"), owner="bob"), [])
    await repository.add(record("c"), [])
    assert await names(repository, "a", owner="ann") == ["a"]
    assert await names(repository, "a", owner="bob") == []
    assert await names(repository, "a") == []
    assert await names(repository, "b", owner="bob") == ["b"]
    assert await names(repository, "c", owner="ann") == []
    assert not await repository.delete("a", "bob", NOW)
    assert await repository.delete("a", "ann", NOW)
