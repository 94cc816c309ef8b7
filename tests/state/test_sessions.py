"""Stored conversations without a server: expiry, exclusive use, pages."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from sterna_service.errors import Reason, ServiceError
from sterna_service.inference.sessions import LONGEST_TTL, Sessions
from sterna_service.inference.spec import Message, ToolCall
from sterna_service.state.database import Database
from sterna_service.state.sessions import SqlSessionRepository

HELLO = Message("user", "Hello! 🐦\x00 <|eot_id|>", "Ann")
CALL = ToolCall("call_1", "greet", '{"who": "Ann"}')
ANSWER = Message("assistant", "Hi.", tool_calls=(CALL,))


class Clock:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repository(database: Database) -> SqlSessionRepository:
    return SqlSessionRepository(database)


@pytest.fixture
def sessions(repository: SqlSessionRepository, clock: Clock) -> Sessions:
    return Sessions(repository, timedelta(hours=1), clock)


async def reason(work: object) -> Reason:
    with pytest.raises(ServiceError) as caught:
        await work  # type: ignore[misc]
    return caught.value.reason


async def test_messages_come_back_as_they_were(sessions: Sessions, clock: Clock) -> None:
    made = await sessions.create("a", "m", [HELLO, ANSWER], None)
    assert (made.message_count, made.create_time) == (2, clock.now)
    assert await sessions.get("a") == made
    assert await sessions.messages(await sessions.get("a")) == [HELLO, ANSWER]


async def test_use_puts_off_the_end(sessions: Sessions, clock: Clock) -> None:
    made = await sessions.create("a", "", [], timedelta(minutes=10))
    assert made.expire_time == clock.now + timedelta(minutes=10)
    clock.advance(minutes=9)
    async with sessions.turn("a") as turn:
        await turn.commit([HELLO, ANSWER])
    used = await sessions.get("a")
    assert (used.update_time, used.message_count) == (clock.now, 2)
    assert used.expire_time == clock.now + timedelta(minutes=10)
    clock.advance(minutes=10)
    assert await reason(sessions.get("a")) is Reason.SESSION_NOT_FOUND
    assert await sessions.page(10, None) == []
    # The id is free again, and nothing of the old conversation is left.
    await sessions.create("a", "", [], None)
    assert await sessions.messages(await sessions.get("a")) == []


async def test_a_conversation_does_not_expire_while_it_is_used(
    sessions: Sessions, clock: Clock
) -> None:
    await sessions.create("a", "", [], timedelta(seconds=5))
    async with sessions.turn("a") as turn:
        clock.advance(minutes=1)
        await sessions.create("b", "", [], None)  # removes what has expired
        await turn.commit([HELLO, ANSWER])
    assert (await sessions.get("a")).message_count == 2


async def test_one_call_at_a_time(sessions: Sessions) -> None:
    await sessions.create("a", "", [], None)
    async with sessions.turn("a"):
        with pytest.raises(ServiceError) as caught:
            async with sessions.turn("a"):
                pass
        assert caught.value.reason is Reason.SESSION_BUSY
        assert await reason(sessions.delete("a")) is Reason.SESSION_BUSY
    # Nothing was stored, and it is free.
    async with sessions.turn("a") as turn:
        assert list(turn.messages) == []
        await turn.commit([HELLO])
        # Free as soon as the turn is stored, whatever the call still does.
        async with sessions.turn("a") as next_turn:
            assert list(next_turn.messages) == [HELLO]
    await sessions.delete("a")


async def test_a_commit_survives_the_one_who_asked_for_it(sessions: Sessions) -> None:
    await sessions.create("a", "", [], None)
    begun = asyncio.Event()

    async def call() -> None:
        async with sessions.turn("a") as turn:
            begun.set()
            await turn.commit([HELLO, ANSWER])

    task = asyncio.create_task(call())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while True:
        with contextlib.suppress(ServiceError):
            async with sessions.turn("a") as turn:
                assert len(turn.messages) in (0, 2)
                break
        await asyncio.sleep(0.001)


async def test_what_another_process_did_meanwhile_is_not_overwritten(
    sessions: Sessions, repository: SqlSessionRepository, clock: Clock
) -> None:
    other = Sessions(repository, timedelta(hours=1), clock)
    await sessions.create("a", "", [], None)
    async with sessions.turn("a") as turn:
        async with other.turn("a") as others:
            await others.commit([HELLO, ANSWER])
        assert await reason(turn.commit([Message("user", "No!")])) is Reason.SESSION_BUSY
    assert await sessions.messages(await sessions.get("a")) == [HELLO, ANSWER]
    async with sessions.turn("a"):
        pass


async def test_pages_by_last_use(sessions: Sessions, clock: Clock) -> None:
    for index in range(5):
        await sessions.create(f"s{index}", "", [], None)
        clock.advance(seconds=index % 2)  # some at the same time
    async with sessions.turn("s1") as turn:
        await turn.commit([HELLO])
    everything = await sessions.page(10, None)
    assert [each.session_id for each in everything] == ["s1", "s4", "s2", "s3", "s0"]
    seen: list[str] = []
    after = None
    while page := await sessions.page(2, after):
        seen += [each.session_id for each in page]
        after = (page[-1].update_time, page[-1].session_id)
    assert seen == [each.session_id for each in everything]


@pytest.mark.parametrize("session_id", ["a b", "ä", "x" * 65, "a/b", "a\n"])
async def test_ids_that_are_refused(sessions: Sessions, session_id: str) -> None:
    created = sessions.create(session_id, "", [], None)
    assert await reason(created) is Reason.INVALID_FIELD
    assert await reason(sessions.get(session_id)) is Reason.SESSION_NOT_FOUND


async def test_limits_of_the_life_of_a_session(sessions: Sessions) -> None:
    for ttl in (timedelta(), timedelta(seconds=-1), LONGEST_TTL + timedelta(seconds=1)):
        assert await reason(sessions.create("a", "", [], ttl)) is Reason.FIELD_OUT_OF_RANGE
    await sessions.create("a", "", [], LONGEST_TTL)
    assert await reason(sessions.create("a", "", [], None)) is Reason.SESSION_ALREADY_EXISTS
    assert await reason(sessions.get("")) is Reason.INVALID_FIELD


async def test_an_owner_sees_his_own_and_what_is_nobodys(sessions: Sessions) -> None:
    await sessions.create("a", "", [HELLO], None, "ann")
    await sessions.create("free", "", [ANSWER], None)
    mine = await sessions.get("a", "ann")
    assert (mine.session_id, mine.owner) == ("a", "ann")
    assert await sessions.messages(mine) == [HELLO]
    for stranger in ("bob", None):
        assert await reason(sessions.get("a", stranger)) is Reason.SESSION_NOT_FOUND
        assert await reason(sessions.delete("a", stranger)) is Reason.SESSION_NOT_FOUND
        with pytest.raises(ServiceError) as caught:
            async with sessions.turn("a", stranger):
                raise AssertionError("it is not his")
        assert caught.value.reason is Reason.SESSION_NOT_FOUND
    # Not by the name of its row either.
    for stranger in ("bob", None):
        assert await reason(sessions.get(mine.row_id, stranger)) is Reason.SESSION_NOT_FOUND
    async with sessions.turn("free", "bob") as turn:
        assert list(turn.messages) == [ANSWER]
        await turn.commit([HELLO])
    assert await sessions.messages(await sessions.get("free")) == [ANSWER, HELLO]
    await sessions.delete("free", "ann")
    assert await reason(sessions.get("free")) is Reason.SESSION_NOT_FOUND


async def test_ids_are_unique_for_each_owner(sessions: Sessions) -> None:
    for owner, message in (("ann", HELLO), ("bob", ANSWER)):
        await sessions.create("a", "", [message], None, owner)
        again = sessions.create("a", "", [], None, owner)
        assert await reason(again) is Reason.SESSION_ALREADY_EXISTS
    async with sessions.turn("a", "ann") as turn:
        # While one answers, the other is free.
        async with sessions.turn("a", "bob") as other:
            await other.commit([HELLO])
        with pytest.raises(ServiceError) as caught:
            async with sessions.turn("a", "ann"):
                raise AssertionError("two have it")
        assert caught.value.reason is Reason.SESSION_BUSY
        assert await reason(sessions.delete("a", "ann")) is Reason.SESSION_BUSY
        await turn.commit([ANSWER, HELLO])
    for owner, messages in (("ann", [HELLO, ANSWER, HELLO]), ("bob", [ANSWER, HELLO])):
        assert await sessions.messages(await sessions.get("a", owner)) == messages
    await sessions.delete("a", "ann")
    assert await reason(sessions.get("a", "ann")) is Reason.SESSION_NOT_FOUND
    assert (await sessions.get("a", "bob")).message_count == 2


async def test_an_id_that_is_nobodys(sessions: Sessions, clock: Clock) -> None:
    await sessions.create("a", "", [HELLO], timedelta(minutes=1))
    # An owner who took it as well would lose sight of this one.
    taken = sessions.create("a", "", [], None, "ann")
    assert await reason(taken) is Reason.SESSION_ALREADY_EXISTS
    clock.advance(minutes=2)
    await sessions.create("a", "", [], None, "ann")
    # Nobody in particular learns nothing of that, and the owner's goes before.
    await sessions.create("a", "", [ANSWER], None)
    assert (await sessions.get("a", "ann")).owner == "ann"
    assert (await sessions.get("a", "bob")).owner is None
    assert await sessions.messages(await sessions.get("a")) == [ANSWER]


async def test_the_list_holds_those_of_all(sessions: Sessions) -> None:
    for owner in (None, "ann", "bob", "cid"):
        await sessions.create("a" if owner else "b", "", [], None, owner)
    seen: list[tuple[str, str | None]] = []
    after = None
    while page := await sessions.page(1, after):
        seen += [(each.session_id, each.owner) for each in page]
        after = (page[-1].update_time, page[-1].row_id)
    assert len(seen) == 4
    assert set(seen) == {("b", None), ("a", "ann"), ("a", "bob"), ("a", "cid")}


async def test_an_owned_one_expires_but_not_while_it_is_used(
    sessions: Sessions, clock: Clock
) -> None:
    await sessions.create("a", "", [], timedelta(seconds=5), "ann")
    async with sessions.turn("a", "ann") as turn:
        clock.advance(minutes=1)
        assert await sessions.purge(clock.now) == 0
        await turn.commit([HELLO])
    clock.advance(minutes=1)
    assert await reason(sessions.get("a", "ann")) is Reason.SESSION_NOT_FOUND
    assert await sessions.purge(clock.now) == 1
