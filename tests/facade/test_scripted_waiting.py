"""Silence of the core, clients that leave, and many prompts at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import GenerateResponse, StreamGenerateResponse
from tests.support.scripted_core import (
    Context,
    Script,
    delta,
    finished,
    started,
    usage,
    whole_answer,
)
from tests.support.scripted_facade import (
    CHAT,
    QUESTION,
    STREAMED,
    TEXT,
    facade,
    forever,
    good,
    leave_once,
    silent,
    wait_until_idle,
)
from tests.support.sse import parse_events


async def test_headers_and_comments_while_the_core_is_silent() -> None:
    async with facade(silent, keepalive_seconds=0.1) as (client, core):
        began = time.monotonic()
        async with client.stream("POST", CHAT, json=STREAMED) as response:
            assert response.status_code == 200
            headers_after = time.monotonic() - began
            received = b""
            async for part in response.aiter_raw():
                received += part
                if len(received) >= 9:
                    break
        assert received == b":\n\n" * 3
        assert headers_after < 10
        await asyncio.wait_for(core.cancelled.wait(), 5)


async def test_comments_between_events() -> None:
    async def script(
        spec: GenerationSpec, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        yield started()
        await asyncio.sleep(0.5)
        yield delta("Hi")
        yield finished()
        yield usage()

    async with facade(script, keepalive_seconds=0.1) as (client, _):
        events = parse_events((await client.post(CHAT, json=STREAMED)).content)
        assert events.comments >= 2
        assert events.done


async def test_no_comments_while_text_flows() -> None:
    async with facade(good, keepalive_seconds=30) as (client, _):
        assert parse_events((await client.post(CHAT, json=STREAMED)).content).comments == 0


@pytest.mark.parametrize("script", [silent, forever])
async def test_a_client_that_leaves_a_stream(script: Script) -> None:
    async with facade(script, keepalive_seconds=60) as (client, core):
        async with client.stream("POST", CHAT, json=STREAMED) as response:
            assert response.status_code == 200
        await asyncio.wait_for(core.cancelled.wait(), 5)
        await wait_until_idle(core)


async def test_a_client_that_leaves_before_the_request_is_accepted() -> None:
    async def script(
        spec: GenerationSpec, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        await asyncio.Event().wait()  # no initial metadata
        yield started()

    async with facade(script) as (client, core):
        await leave_once(lambda: core.most_running, client.post(CHAT, json=STREAMED))
        await asyncio.wait_for(core.cancelled.wait(), 5)


@pytest.mark.parametrize(
    ("path", "body"), [(CHAT, QUESTION), (TEXT, {"prompt": "x"}), (TEXT, {"prompt": ["x", "y"]})]
)
async def test_a_client_that_leaves_without_streaming(path: str, body: object) -> None:
    async def whole(spec: GenerationSpec, context: Context) -> GenerateResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with facade(whole=whole) as (client, core):
        await leave_once(lambda: core.most_running, client.post(path, json=body))
        await asyncio.wait_for(core.cancelled.wait(), 5)
        await wait_until_idle(core)


async def test_a_client_that_leaves_takes_all_its_prompts_along() -> None:
    async with facade(forever, prompt_concurrency=3) as (client, core):
        body = {"prompt": ["a"] * 5, "stream": True}
        async with client.stream("POST", TEXT, json=body) as response:
            async for _ in response.aiter_lines():
                if core.running == 3:
                    break
        await wait_until_idle(core)
        assert core.most_running == 3


@pytest.mark.parametrize("stream", [False, True])
async def test_many_prompts_a_few_at_a_time(stream: bool) -> None:
    async def whole(spec: GenerationSpec, context: Context) -> GenerateResponse:
        await asyncio.sleep(0.05)
        return whole_answer(spec.text.text.upper())

    async def script(
        spec: GenerationSpec, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        yield started()
        await asyncio.sleep(0.05)
        yield delta(spec.text.text.upper())
        yield finished()
        yield usage()

    prompts = [f"p{i}" for i in range(7)]
    async with facade(script, whole, prompt_concurrency=2) as (client, core):
        response = await client.post(TEXT, json={"prompt": prompts, "stream": stream})
        assert core.most_running == 2
        if stream:
            events = parse_events(response.content)
            assert events.done
            texts = [""] * 7
            for chunk in events.chunks:
                choice = chunk["choices"][0]
                texts[choice["index"]] += choice["text"]
        else:
            choices = response.json()["choices"]
            assert [c["index"] for c in choices] == list(range(7))
            assert response.json()["usage"]["prompt_tokens"] == 21
            texts = [c["text"] for c in choices]
        assert texts == [p.upper() for p in prompts]
