"""API keys without a server: their form, the keyring, the table of scopes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sterna.v1 import access_pb2, inference_pb2, model_admin_pb2, speech_pb2
from sterna_service.access.keyring import FRESH_SECONDS, NEWEST_SECONDS, Keyring
from sterna_service.access.keys import ApiKey, digest_of, id_of, new_key
from sterna_service.access.limits import Limits
from sterna_service.access.scopes import Scope, parse_scopes
from sterna_service.errors import Reason, ServiceError
from sterna_service.rpc.scopes import SCOPES_OF
from sterna_service.state.database import Database
from sterna_service.state.keys import SqlKeyRepository

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def made(name: str = "a", **fields: object) -> tuple[str, ApiKey]:
    key_id, key = new_key()
    record = ApiKey(key_id, name, digest_of(key), frozenset(Scope), NOW, **fields)  # type: ignore[arg-type]
    return key, record


class Clock:
    """Seconds and a date that go on when they are told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def date(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)


class Flaky(SqlKeyRepository):
    """The database, which can fail and counts what it is asked."""

    failing = False
    reads = 0
    writes = 0

    async def all(self) -> list[ApiKey]:
        self.reads += 1
        if self.failing:
            raise OSError("the disk is gone")
        return await super().all()

    async def note_uses(self, times: Mapping[str, datetime]) -> None:
        self.writes += 1
        await super().note_uses(times)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def repository(tmp_path: Path) -> AsyncIterator[Flaky]:
    database = await Database.open(tmp_path / "state.db")
    yield Flaky(database)
    await database.close()


@pytest.fixture
def keyring(repository: Flaky, clock: Clock) -> Keyring:
    return Keyring(repository, clock.date, clock)


async def refusal(keyring: Keyring, key: str) -> str:
    with pytest.raises(ServiceError) as caught:
        await keyring.recognise(key)
    assert caught.value.reason is Reason.UNAUTHENTICATED
    assert key == "" or key not in caught.value.message
    return caught.value.message


def test_keys_differ_and_are_long() -> None:
    keys = {new_key()[1] for _ in range(200)}
    assert len(keys) == 200
    assert all(re.fullmatch(r"sk-sterna-[a-z0-9]{12}-[A-Za-z0-9]{43}", key) for key in keys)


@pytest.mark.parametrize(
    "text", ["", "sk-sterna-", "sk-proj-abc", "unused", "sk-sterna-aaaaaaaaaaaa-ü" + "b" * 42]
)
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert id_of(text) is None


def test_a_key_matches_itself_alone() -> None:
    key, record = made()
    assert id_of(key) == record.key_id
    assert record.matches(key)
    assert not record.matches(key[:-1] + ("a" if key[-1] != "a" else "b"))
    assert key not in repr(record)


async def test_a_record_comes_back_as_it_was(repository: Flaky) -> None:
    _, record = made(
        expire_time=NOW + timedelta(days=1), limits=Limits(requests=5, upload=0, tokens=7)
    )
    assert await repository.create(record)
    assert await repository.all() == [record]


async def test_a_name_is_free_again_after_the_revocation(repository: Flaky) -> None:
    _, first = made("ci")
    _, second = made("ci")
    assert await repository.create(first)
    assert not await repository.create(second)
    assert await repository.revoke(first.key_id, NOW)
    assert not await repository.revoke(first.key_id, NOW)
    assert await repository.create(second)


async def test_only_good_keys_are_recognised(
    repository: Flaky, keyring: Keyring, clock: Clock
) -> None:
    key, record = made(expire_time=clock.date() + timedelta(minutes=1))
    other, _ = made()
    await repository.create(record)
    assert (await keyring.recognise(key)).key_id == record.key_id
    assert "needed" in await refusal(keyring, "")
    assert "form" in await refusal(keyring, "sk-proj-abc")
    assert "not known" in await refusal(keyring, other)
    assert "not known" in await refusal(keyring, key[:-1] + ("a" if key[-1] != "a" else "b"))
    clock.seconds += 61
    assert "expired" in await refusal(keyring, key)


async def test_a_change_counts_within_a_second(
    repository: Flaky, keyring: Keyring, clock: Clock
) -> None:
    key, record = made()
    assert "not known" in await refusal(keyring, key)
    await repository.create(record)
    clock.seconds += 2 * NEWEST_SECONDS
    await keyring.recognise(key)
    await repository.revoke(record.key_id, NOW)
    clock.seconds += FRESH_SECONDS
    assert "revoked" in await refusal(keyring, key)


async def test_many_calls_cost_one_query(repository: Flaky, keyring: Keyring, clock: Clock) -> None:
    key, record = made()
    await repository.create(record)
    strangers = [made()[0] for _ in range(20)]
    await asyncio.gather(keyring.recognise(key), *(refusal(keyring, each) for each in strangers))
    assert repository.reads == 1


async def test_known_keys_stay_good_while_the_database_fails(
    repository: Flaky, keyring: Keyring, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    key, record = made()
    await repository.create(record)
    await keyring.recognise(key)
    repository.failing = True
    for _ in range(3):
        clock.seconds += FRESH_SECONDS
        await keyring.recognise(key)
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    repository.failing = False
    await repository.revoke(record.key_id, NOW)
    clock.seconds += FRESH_SECONDS
    await refusal(keyring, key)


async def test_the_last_use_is_written_now_and_then(
    repository: Flaky, keyring: Keyring, clock: Clock
) -> None:
    key, record = made()
    await repository.create(record)
    for _ in range(50):
        clock.seconds += 1
        await keyring.recognise(key)
    assert repository.writes == 0
    clock.seconds += 30
    await keyring.recognise(key)
    assert repository.writes == 1
    clock.seconds += 1
    await keyring.recognise(key)
    last = clock.date()
    await keyring.close()
    assert [each.last_use_time for each in await repository.all()] == [last]
    await repository.note_uses({record.key_id: last - timedelta(seconds=5)})
    assert [each.last_use_time for each in await repository.all()] == [last]


def test_every_rpc_has_its_scope() -> None:
    files = (access_pb2, inference_pb2, model_admin_pb2, speech_pb2)
    methods = {
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert set(SCOPES_OF) == methods


def test_none_is_open_to_keys_without_scope() -> None:
    assert all(scopes and scopes <= set(Scope) for scopes in SCOPES_OF.values())


def test_unknown_scopes_are_named() -> None:
    assert parse_scopes(["admin", "speech"]) == {Scope.ADMIN, Scope.SPEECH}
    with pytest.raises(ValueError, match="'root' is no scope; there are inference, speech"):
        parse_scopes(["root"])
    with pytest.raises(ValueError, match="at least one"):
        parse_scopes([])
