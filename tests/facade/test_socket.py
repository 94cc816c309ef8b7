"""`WS /v1/ws` through the `websockets` package, by the real core and the embedded model."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from sterna.v1.inference_pb2 import ListSessionsRequest
from sterna.v1.inference_pb2_grpc import InferenceServiceStub
from tests.facade.conftest import Live
from tests.support.scripted_facade import facade, forever

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRANCE = "What is the capital of France?"
SPAIN = "What is the capital of Spain?"
PARIS = "The capital of France is Paris."
GREEDY = {"temperature": 0}


def address(live: Live) -> str:
    return live.url.replace("http", "ws", 1) + "/v1/ws"


async def tell(socket: ClientConnection, **fields: Any) -> None:
    await socket.send(json.dumps(fields))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 60))
    return event


async def ask(socket: ClientConnection, text: str, **options: Any) -> list[dict[str, Any]]:
    """Every event up to the end of the answer."""
    await tell(socket, type="chat_message", model="", message=text, options=GREEDY | options)
    events = [await hear(socket)]
    while events[-1]["type"] not in ("done", "error"):
        events.append(await hear(socket))
    return events


async def test_an_answer(live: Live) -> None:
    async with connect(address(live)) as socket:
        events = await ask(socket, FRANCE)
    kinds = [event["type"] for event in events]
    assert kinds == ["start", *["delta"] * (len(kinds) - 2), "done"]
    assert events[0]["model"] == "sterna/tern-nano"
    assert "".join(event["text"] for event in events[1:-1]) == PARIS
    assert events[-1]["text"] == PARIS
    assert events[-1]["finish_reason"] == "stop"
    assert events[-1]["usage"]["completion_tokens"] > 0


async def test_one_socket_is_one_conversation(live: Live) -> None:
    async with connect(address(live)) as socket:
        await ask(socket, FRANCE)
        second = (await ask(socket, SPAIN))[-1]
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        messages = [
            {"role": "user", "content": FRANCE},
            {"role": "assistant", "content": PARIS},
            {"role": "user", "content": SPAIN},
        ]
        answer = await client.post(
            "/v1/chat/completions", json={"messages": messages, "temperature": 0}
        )
    whole = answer.json()
    assert second["text"] == whole["choices"][0]["message"]["content"]
    assert second["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]


async def test_what_was_cancelled_was_never_said() -> None:
    async with (
        facade(forever) as (client, core),
        connect(str(client.base_url).replace("http", "ws", 1) + "/v1/ws") as socket,
    ):
        for _ in range(2):
            core.cancelled.clear()
            await tell(socket, type="chat_message", message=FRANCE)
            assert (await hear(socket))["type"] == "start"
            assert await hear(socket) == {"type": "delta", "text": "Hi"}
            await tell(socket, type="cancel")
            assert await hear(socket) == {"type": "done", "finish_reason": "cancelled"}
            await asyncio.wait_for(core.cancelled.wait(), 5)
        for spec in core.specs:
            assert spec.session_id == ""
            assert [m.content[0].text for m in spec.chat.messages] == [FRANCE]


async def test_the_next_message_may_follow_at_once(live: Live) -> None:
    async with connect(address(live)) as socket:
        await ask(socket, FRANCE)
        await tell(socket, type="chat_message", message=SPAIN)
        await tell(socket, type="cancel")
        assert (await ask(socket, SPAIN))[-1]["type"] == "done"


async def test_a_client_that_leaves_frees_its_slot(live: Live) -> None:
    async with connect(address(live)) as socket:
        await tell(
            socket, type="chat_message", message=FRANCE, options={"temperature": 2, "top_k": 0}
        )
        await hear(socket)
    await live.idle()


async def test_a_conversation_is_forgotten(live: Live) -> None:
    async with grpc.aio.insecure_channel(live.core_address) as channel:
        stub = InferenceServiceStub(channel)

        async def sessions() -> int:
            response = await stub.ListSessions(ListSessionsRequest(page_size=1000), timeout=10)
            return len(response.sessions)

        async with connect(address(live)) as socket:
            await ask(socket, FRANCE)
            held = await sessions()
            assert held >= 1
        async with asyncio.timeout(60):
            while await sessions() >= held:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_a_second_message_has_to_wait(live: Live) -> None:
    async with connect(address(live)) as socket:
        await tell(socket, type="chat_message", message=FRANCE)
        await tell(socket, type="chat_message", message=FRANCE)
        kinds = []
        while "done" not in kinds:
            event = await hear(socket)
            kinds.append(event["type"])
            if event["type"] == "error":
                assert event["error"]["code"] == "session_busy"
        assert "error" in kinds


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        ("{", "invalid_request", None),
        ("[]", "invalid_type", None),
        ('{"type": "dance"}', "invalid_type", None),
        ('{"type": "chat_message"}', "missing_required_parameter", "message"),
        ('{"type": "chat_message", "message": ""}', "invalid_value", "message"),
        ('{"type": "chat_message", "message": "a", "model": "nobody"}', "model_not_found", "model"),
        (
            '{"type": "chat_message", "message": "a", "options": {"top_p": 2}}',
            "invalid_value",
            "options.top_p",
        ),
    ],
)
async def test_what_is_refused(live: Live, raw: str, code: str, param: str | None) -> None:
    async with connect(address(live)) as socket:
        await socket.send(raw)
        event = await hear(socket)
        assert event["type"] == "error"
        assert event["error"].keys() == {"message", "type", "param", "code"}
        assert (event["error"]["code"], event["error"]["param"]) == (code, param)
        # The connection is as good as before.
        assert (await ask(socket, FRANCE))[-1]["text"] == PARIS


async def test_a_cancel_without_an_answer_says_nothing(live: Live) -> None:
    async with connect(address(live)) as socket:
        await tell(socket, type="cancel")
        assert (await ask(socket, FRANCE))[0]["type"] == "start"


async def test_a_page_of_another_origin_is_refused(live: Live) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(address(live), origin="http://evil.example"):  # type: ignore[arg-type]
            pass
    assert caught.value.response.status_code == 403
    async with connect(address(live), origin=live.url) as socket:  # type: ignore[arg-type]
        assert (await ask(socket, FRANCE))[-1]["type"] == "done"
