"""What a conversation holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from sterna_service.dialogue.memory import MOST_CHARACTERS, MOST_MESSAGES, Memory, shortened
from sterna_service.errors import ServiceError
from sterna_service.inference.sessions import Sessions
from sterna_service.inference.spec import Message
from sterna_service.state.database import Database
from sterna_service.state.sessions import SqlSessionRepository

BEGINNING = [Message("system", "You are a tern.")]


@pytest_asyncio.fixture
async def sessions(tmp_path: Path) -> AsyncIterator[Sessions]:
    database = await Database.open(tmp_path / "state.db")
    try:
        yield Sessions(SqlSessionRepository(database), timedelta(days=1))
    finally:
        await database.close()


def user(text: str) -> Message:
    return Message("user", text)


def texts(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def test_turns_are_kept_in_order(sessions: Sessions) -> None:
    memory = Memory(sessions, "", BEGINNING)
    memory.add(user("One"))
    assert texts(await memory.prompt(BEGINNING)) == ["You are a tern.", "One"]
    memory.answered("Two")
    await memory.commit()
    memory.add(user("Three"))
    assert texts(await memory.prompt([])) == ["One", "Two", "Three"]


async def test_what_is_said_before_the_answer_is_one_turn(sessions: Sessions) -> None:
    memory = Memory(sessions, "", [])
    memory.add(user("I want"))
    memory.add(user("a fish"))
    assert texts(await memory.prompt([])) == ["I want\na fish"]
    # Not what is said while the answer is made: it waits for the next one.
    memory.add(user("and ice"))
    memory.answered("Here.")
    assert texts(await memory.prompt([])) == ["I want\na fish", "Here.", "and ice"]


async def test_a_conversation_has_a_size(sessions: Sessions) -> None:
    memory = Memory(sessions, "", [])
    # Messages that follow each other become one, so that their number alone bounds nothing.
    for _ in range(4):
        memory.add(user("x" * (MOST_CHARACTERS // 4 - 1)))
    with pytest.raises(ServiceError) as caught:
        memory.add(user("xx"))
    assert str(MOST_CHARACTERS) in caught.value.message
    assert len(await memory.prompt([])) == 1


async def test_an_answer_is_cut_to_what_was_heard(sessions: Sessions) -> None:
    memory = Memory(sessions, "", [])
    memory.add(user("One"))
    await memory.prompt([])
    memory.answered("Two three four")
    assert memory.cut("Two three")
    assert memory.cut("Two")
    memory.add(user("Five"))
    assert texts(await memory.prompt([])) == ["One", "Two", "Five"]


async def test_an_answer_that_nobody_heard_leaves_its_turn_unanswered(sessions: Sessions) -> None:
    memory = Memory(sessions, "", [])
    memory.add(user("One"))
    await memory.prompt([])
    memory.answered("Two")
    memory.add(user("Three"))
    assert memory.cut("")
    assert texts(await memory.prompt([])) == ["One\nThree"]


async def test_what_is_committed_is_final(sessions: Sessions) -> None:
    memory = Memory(sessions, "", [])
    memory.add(user("One"))
    await memory.prompt([])
    memory.answered("Two")
    await memory.commit()
    assert not memory.cut("T")
    assert texts(await memory.prompt([])) == ["One", "Two"]


async def test_a_turn_that_cannot_be_answered_is_forgotten(sessions: Sessions) -> None:
    memory = Memory(sessions, "", [])
    memory.add(user("far too long"))
    await memory.prompt([])
    memory.add(user("meanwhile"))
    memory.forget()
    assert texts(await memory.prompt([])) == ["meanwhile"]


async def test_a_session_holds_the_beginning_once_and_then_the_turns(sessions: Sessions) -> None:
    await sessions.create("talk", "", [], None)
    memory = Memory(sessions, "talk", BEGINNING)
    for number in range(2):
        memory.add(user(f"question {number}"))
        assert len(await memory.prompt(BEGINNING)) == 2 + 2 * number
        memory.answered(f"answer {number}")
        await memory.commit()
    stored = texts(await sessions.messages(await sessions.get("talk")))
    assert stored == ["You are a tern.", "question 0", "answer 0", "question 1", "answer 1"]


async def test_a_session_of_an_owner(sessions: Sessions) -> None:
    await sessions.create("talk", "", [], None, "ann")
    for owner in ("bob", None):
        with pytest.raises(ServiceError, match="there is no session"):
            await Memory(sessions, "talk", [], owner).prompt([])
    memory = Memory(sessions, "talk", [], "ann")
    memory.add(user("One"))
    await memory.prompt([])
    memory.answered("Two")
    await memory.commit()
    assert texts(await sessions.messages(await sessions.get("talk", "ann"))) == ["One", "Two"]


async def test_nothing_is_lost_when_the_session_is_busy(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sterna_service.dialogue.memory._BUSY_DELAYS", (0.0,))
    await sessions.create("talk", "", [], None)
    memory = Memory(sessions, "talk", [])
    memory.add(user("One"))
    await memory.prompt([])
    memory.answered("Two")
    async with sessions.turn("talk"):
        with pytest.raises(ServiceError, match="talk"):
            await memory.commit()
    await memory.commit()
    assert texts(await sessions.messages(await sessions.get("talk"))) == ["One", "Two"]


async def test_there_is_a_most_of_messages(sessions: Sessions) -> None:
    memory = Memory(sessions, "", [])
    for number in range(MOST_MESSAGES):
        memory.add(Message("assistant", str(number)))
    with pytest.raises(ServiceError, match=str(MOST_MESSAGES)):
        memory.add(user("one more"))


def test_the_oldest_turn_is_left_out_and_instructions_stay() -> None:
    roles = ["system", "user", "assistant", "user", "assistant", "user"]
    messages = [Message(role, str(index)) for index, role in enumerate(roles)]
    shorter = shortened(messages)
    assert shorter is not None
    assert texts(shorter) == ["0", "3", "4", "5"]
    shortest = shortened(shorter)
    assert shortest is not None
    assert texts(shortest) == ["0", "5"]
    assert shortened(shortest) is None
