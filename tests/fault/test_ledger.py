"""The comparison after a kill finds what is lost, halved and invented."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from sterna.v1 import (
    chat_pb2,
    event_pb2,
    inference_pb2,
    model_admin_pb2,
    session_pb2,
    stored_answer_pb2,
)
from tests.fault.ledger import Ledger


class Server:
    """Knows these conversations and webhooks."""

    def __init__(
        self,
        sessions: dict[str, list[str]],
        webhooks: dict[str, str],
        answers: dict[str, str] | None = None,
    ) -> None:
        self._answers = answers or {}
        self._sessions = sessions
        self._webhooks = webhooks

    async def ListSessions(  # noqa: N802
        self, request: object, **_: Any
    ) -> inference_pb2.ListSessionsResponse:
        return inference_pb2.ListSessionsResponse(
            sessions=[
                session_pb2.Session(session_id=name, message_count=len(texts))
                for name, texts in self._sessions.items()
            ]
        )

    async def GetSession(  # noqa: N802
        self, request: inference_pb2.GetSessionRequest, **_: Any
    ) -> inference_pb2.GetSessionResponse:
        return inference_pb2.GetSessionResponse(
            messages=[
                chat_pb2.ChatMessage(content=[chat_pb2.ContentPart(text=text)])
                for text in self._sessions[request.session_id]
            ]
        )

    async def GetAnswer(  # noqa: N802
        self, request: inference_pb2.GetAnswerRequest, **_: Any
    ) -> inference_pb2.GetAnswerResponse:
        if request.response_id not in self._answers:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, nothing, nothing, "no answer")
        answer = stored_answer_pb2.StoredAnswer()
        answer.choice.text = self._answers[request.response_id]
        return inference_pb2.GetAnswerResponse(answer=answer)

    async def ListWebhooks(  # noqa: N802
        self, request: object, **_: Any
    ) -> model_admin_pb2.ListWebhooksResponse:
        return model_admin_pb2.ListWebhooksResponse(
            webhooks=[
                event_pb2.Webhook(webhook_id=name, url=url) for name, url in self._webhooks.items()
            ]
        )


async def problems(
    ledger: Ledger, sessions: dict[str, list[str]], webhooks: dict[str, str] | None = None
) -> list[str]:
    server = Server(sessions, webhooks or {})
    await ledger.compare(server, server)
    return ledger.problems


async def test_what_is_as_acknowledged() -> None:
    ledger = Ledger(sessions={"a": ["1"], "b": ["1"]}, webhooks={"w": "u"})
    ledger.maybe_longer["b"] = ["2"]
    ledger.maybe_sessions["c"] = ["x"]
    ledger.maybe_webhooks.add("v")
    found = {"a": ["1"], "b": ["1", "2", "answer"], "c": ["x"]}
    assert await problems(ledger, found, {"w": "u", "x": "v"}) == []
    assert ledger.sessions == found


async def test_what_was_cut_off_may_be_missing() -> None:
    ledger = Ledger(sessions={"a": ["1"]}, maybe_deleted={"a"}, maybe_gone_webhooks={"w"})
    ledger.webhooks["w"] = "u"
    ledger.maybe_sessions["c"] = ["x"]
    assert await problems(ledger, {}) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "lost"),
        ({"a": ["1"]}, "holds"),
        ({"a": ["1", "2", "3"]}, "holds"),
        ({"a": ["1", "2"], "b": []}, "nobody made it"),
        ({"a": ["1", "2"], "c": ["x"]}, "by half"),
    ],
)
async def test_what_is_not_as_acknowledged(found: dict[str, list[str]], words: str) -> None:
    ledger = Ledger(sessions={"a": ["1", "2"]})
    ledger.maybe_sessions["c"] = ["x", "y"]
    (problem,) = await problems(ledger, found)
    assert words in problem


async def test_half_a_turn() -> None:
    ledger = Ledger(sessions={"a": ["1"]})
    ledger.maybe_longer["a"] = ["2"]
    (problem,) = await problems(ledger, {"a": ["1", "2"]})
    assert "holds" in problem


@pytest.mark.parametrize(
    ("found", "words"),
    [({}, "lost"), ({"w": "v"}, "another address"), ({"w": "u", "x": "y"}, "nobody made it")],
)
async def test_webhooks_that_are_not_as_acknowledged(found: dict[str, str], words: str) -> None:
    (problem,) = await problems(Ledger(webhooks={"w": "u"}), {}, found)
    assert words in problem


async def test_an_answer_that_is_another_one() -> None:
    ledger = Ledger(answers={"a": "yes", "b": "no"})
    server = Server({}, {}, {"a": "yes", "b": "maybe"})
    await ledger.compare(server, server)
    (problem,) = ledger.problems
    assert "not 'no'" in problem


async def test_answers_that_are_gone() -> None:
    ledger = Ledger(answers={"a": "yes", "b": "no"}, maybe_gone_answers={"b"})
    server = Server({}, {}, {})
    await ledger.compare(server, server)
    (problem,) = ledger.problems
    assert "the answer a is lost" in problem
