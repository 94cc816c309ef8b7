"""The grammar of real streams, and what becomes of the work when a client leaves."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx
import pytest

from sterna_rest.chat.schemas import ChatChunk, ChatCompletion
from sterna_rest.completions.schemas import Completion
from tests.facade.conftest import Live
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
QUESTION = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
# As much work as one request can ask of the embedded model.
LONG = {"ignore_eos": True, "max_tokens": 900, "n": 16, "seed": 1, "temperature": 1}
BODIES: list[tuple[str, dict[str, Any]]] = [
    (CHAT, QUESTION | LONG),
    (TEXT, {"prompt": "Once upon a time"} | LONG),
    (TEXT, {"prompt": ["Once upon a time", "One, two", "The"]} | LONG),
]


@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("include_usage", [None, False, True])
@pytest.mark.parametrize("logprobs", [False, True])
async def test_the_grammar(
    live: Live, path: str, n: int, include_usage: bool | None, logprobs: bool
) -> None:
    body: dict[str, Any] = {"stream": True, "n": n, "max_tokens": 12}
    body |= QUESTION if path == CHAT else {"prompt": "Once upon a time"}
    if include_usage is not None:
        body["stream_options"] = {"include_usage": include_usage}
    if logprobs:
        body["logprobs"] = True if path == CHAT else 2
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        response = await client.post(path, json=body)
    assert response.status_code == 200
    events = parse_events(response.content)
    assert events.done
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in events.chunks}) == 1
    chunks = events.chunks
    if include_usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] > 0
        assert last["usage"]["total_tokens"] == (
            last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
        )
    for chunk in chunks:
        (ChatChunk if path == CHAT else Completion).model_validate(chunk)
        assert len(chunk["choices"]) == 1
        assert ("usage" in chunk) == bool(include_usage)
        assert chunk.get("usage") is None
    for index in range(n):
        mine = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
        assert all(c["finish_reason"] is None for c in mine[:-1])
        assert mine[-1]["finish_reason"] in ("stop", "length")
        if path == CHAT:
            assert mine[0]["delta"] == {"role": "assistant"}
            assert mine[-1]["delta"] == {}
            assert all(c["delta"].get("content") is not None for c in mine[1:-1])
            assert all("logprobs" in c for c in mine[1:-1]) == logprobs
        else:
            assert mine[-1]["text"] == ""
            assert all((c["logprobs"] is not None) == logprobs for c in mine[:-1])


async def test_whole_answers_fit_their_schemas(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        chat = await client.post(CHAT, json=QUESTION | {"logprobs": True, "top_logprobs": 1})
        text = await client.post(TEXT, json={"prompt": "x", "max_tokens": 3, "logprobs": 1})
    ChatCompletion.model_validate_json(chat.content, strict=True)
    Completion.model_validate_json(text.content, strict=True)


@pytest.mark.parametrize(("path", "body"), BODIES)
@pytest.mark.parametrize("stream", [False, True])
async def test_clients_that_leave_free_their_slots(
    live: Live, path: str, body: dict[str, Any], stream: bool
) -> None:
    # Each of them alone fills the batch, so most of them leave while they wait in the queue.
    clients = 6
    before = await live.idle()
    arrived = asyncio.Event()

    async def ask(client: httpx.AsyncClient) -> None:
        if not stream:
            response = await client.post(path, json=body)
            raise AssertionError(f"answered before it left: {response.text[:500]}")
        async with client.stream("POST", path, json=body | {"stream": True}) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                if '"content":' in line or '"text":' in line:
                    arrived.set()

    async with httpx.AsyncClient(base_url=live.url, timeout=120) as client:
        tasks = [asyncio.create_task(ask(client)) for _ in range(clients)]
        async with asyncio.timeout(60):
            await (arrived.wait() if stream else running(live))
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * clients, results
        after = await live.idle()
    made = after.generated_token_count - before.generated_token_count
    wanted = clients * body["max_tokens"] * body["n"]
    assert made < wanted, "the work went on without anybody to read it"


async def running(live: Live) -> None:
    while not (await live.engine()).running_count:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def test_many_streams_with_random_departures(live: Live) -> None:
    await live.idle()
    dice = random.Random(5)
    request = QUESTION | {"temperature": 0, "stream": True}
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        expected = parse_events((await client.post(CHAT, json=request)).content)
        text = "".join(c["choices"][0]["delta"].get("content", "") for c in expected.chunks)

        async def stays() -> str:
            events = parse_events((await client.post(CHAT, json=request)).content)
            assert events.done
            return "".join(c["choices"][0]["delta"].get("content", "") for c in events.chunks)

        async def leaves(after: int) -> None:
            body = {"prompt": "Once upon a time", "stream": True} | LONG | {"n": 1}
            async with client.stream("POST", TEXT, json=body) as response:
                seen = 0
                async for line in response.aiter_lines():
                    seen += line.startswith("data: ")
                    if seen > after:
                        return

        results = await asyncio.gather(
            *(stays() if i % 2 else leaves(dice.randint(0, 30)) for i in range(24))
        )
    assert {r for r in results if r is not None} == {text}
    engine = await live.idle()
    assert engine.kv_block_used_count == 0


async def test_a_full_queue_says_when_to_come_back(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url, timeout=120) as client:
        body = {"prompt": "Once upon a time"} | LONG
        tasks = [asyncio.create_task(client.post(TEXT, json=body)) for _ in range(40)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        refused = done.pop().result()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "service_unavailable"
    await live.idle()


async def test_text_outside_of_ascii_survives(live: Live) -> None:
    prompt = "Grüße, 世界 😀"
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        body = {"prompt": prompt, "echo": True, "max_tokens": 1, "stream": True}
        streamed = await client.post(TEXT, json=body)
        raw = json.dumps(body | {"stream": False}, ensure_ascii=False).encode()
        headers = {"content-type": "application/json; charset=utf-8"}
        whole = await client.post(TEXT, content=raw, headers=headers)
    assert parse_events(streamed.content).chunks[0]["choices"][0]["text"] == prompt
    assert whole.json()["choices"][0]["text"].startswith(prompt)
