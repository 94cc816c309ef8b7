"""What a client is told when the core refuses, fails or vanishes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import grpc
import httpx
import openai
import pytest

from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import GenerateResponse, StreamGenerateResponse
from sterna_rest.app import FacadeOptions, create_app
from tests.support.facade_server import facade_server
from tests.support.scripted_core import (
    Context,
    ScriptedCore,
    delta,
    fail,
    scripted_core,
    started,
    whole_answer,
)
from tests.support.scripted_facade import (
    CHAT,
    QUESTION,
    STREAMED,
    TEXT,
    facade,
    good,
    wait_until_idle,
)
from tests.support.sse import parse_events


async def test_a_good_stream() -> None:
    async with facade(good) as (client, core):
        response = await client.post(CHAT, json=STREAMED | {"n": 2})
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache"
        assert parse_events(response.content).done
        assert core.running == 0


async def test_ids_and_traces_reach_the_core() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    async with facade(good) as (client, core):
        headers = {"x-request-id": "mine", "traceparent": trace}
        response = await client.post(CHAT, json=STREAMED, headers=headers)
        assert response.headers["x-request-id"] == "mine"
        assert core.metadata[0]["x-request-id"] == "mine"
        assert core.metadata[0]["traceparent"] == trace
        response = await client.post(CHAT, json=STREAMED, headers={"traceparent": "nonsense"})
        assert "traceparent" not in core.metadata[1]
        assert core.metadata[1]["x-request-id"] == response.headers["x-request-id"]


async def test_every_call_has_a_deadline() -> None:
    remaining: list[float | None] = []

    async def script(
        spec: GenerationSpec, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        remaining.append(context.time_remaining())
        async for event in good(spec, context):
            yield event

    async with facade(script, generation_timeout_seconds=7) as (client, _):
        await client.post(CHAT, json=STREAMED)
    assert remaining[0] is not None
    assert 0 < remaining[0] <= 7


async def test_a_deadline_that_passes() -> None:
    async def whole(spec: GenerationSpec, context: Context) -> GenerateResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with facade(whole=whole, generation_timeout_seconds=0.2) as (client, core):
        response = await client.post(CHAT, json=QUESTION)
        assert response.status_code == 504
        assert response.json()["error"]["code"] == "deadline_exceeded"
        await asyncio.wait_for(core.cancelled.wait(), 5)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", 503),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", 429),
        (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", 503),
        (grpc.StatusCode.INTERNAL, "INTERNAL", 500),
        (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", 404),
    ],
)
async def test_a_refusal_is_an_http_status(
    stream: bool, code: grpc.StatusCode, reason: str, status: int
) -> None:
    async def script(
        spec: GenerationSpec, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        await fail(context, code, "No.", reason=reason, retry_seconds=1.5)
        yield started()

    async def whole(spec: GenerationSpec, context: Context) -> GenerateResponse:
        await fail(context, code, "No.", reason=reason, retry_seconds=1.5)
        raise AssertionError

    async with facade(script, whole) as (client, _):
        response = await client.post(CHAT, json=QUESTION | {"stream": stream})
        assert response.status_code == status
        assert response.json()["error"]["message"] == "No."
        assert response.headers["retry-after"] == "2"
        assert response.headers["retry-after-ms"] == "1500"


async def test_a_refusal_names_the_field_as_the_caller_wrote_it() -> None:
    async def whole(spec: GenerationSpec, context: Context) -> GenerateResponse:
        await fail(
            context,
            grpc.StatusCode.INVALID_ARGUMENT,
            "spec.stop.max_tokens must be at most 512; got 999.",
            reason="FIELD_OUT_OF_RANGE",
            field="spec.stop.max_tokens",
        )
        raise AssertionError

    async with facade(whole=whole) as (client, _):
        response = await client.post(CHAT, json=QUESTION | {"max_completion_tokens": 999})
        assert response.status_code == 422
        error = response.json()["error"]
        assert error["param"] == "max_completion_tokens"
        assert error["message"] == "`max_completion_tokens` must be at most 512; got 999."


@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize(
    ("code", "reason", "says"),
    [
        (grpc.StatusCode.INTERNAL, "INTERNAL", "server_error"),
        (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", "service_unavailable"),
    ],
)
async def test_a_failure_in_the_middle_never_looks_like_success(
    path: str, code: grpc.StatusCode, reason: str, says: str
) -> None:
    async def script(
        spec: GenerationSpec, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        yield started()
        yield delta("Hi")
        await asyncio.sleep(0.1)
        await fail(context, code, "Broken.", reason=reason)

    async with facade(script) as (client, _):
        body = STREAMED if path == CHAT else {"prompt": "x", "stream": True}
        response = await client.post(path, json=body)
        assert response.status_code == 200
        events = parse_events(response.content)
        assert not events.done
        assert events.error is not None
        assert set(events.error) == {"message", "type", "param", "code"}
        assert events.error["code"] == says


async def test_a_stream_that_just_stops_is_a_failure() -> None:
    async def script(
        spec: GenerationSpec, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        yield started()
        yield delta("Hi")

    async with facade(script) as (client, _):
        events = parse_events((await client.post(CHAT, json=STREAMED)).content)
        assert events.error is not None
        assert not events.done


async def test_the_official_client_raises_on_a_failure_in_the_middle() -> None:
    async def script(
        spec: GenerationSpec, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        yield started()
        yield delta("Hi")
        await asyncio.sleep(0.1)
        await fail(context, grpc.StatusCode.INTERNAL, "Broken.", reason="INTERNAL")

    async with facade(script) as (client, _):
        api = openai.AsyncOpenAI(base_url=f"{client.base_url}/v1", api_key="x")
        stream = await api.chat.completions.create(
            model="", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match="Broken"):
            async for _ in stream:
                pass
        await api.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_one_bad_prompt_fails_the_request(stream: bool) -> None:
    async def whole(spec: GenerationSpec, context: Context) -> GenerateResponse:
        if spec.text.text == "bad":
            await fail(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "Too long.",
                reason="CONTEXT_LENGTH_EXCEEDED",
            )
        await asyncio.sleep(30)
        return whole_answer("never")

    async def script(
        spec: GenerationSpec, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        yield started()
        if spec.text.text == "bad":
            await fail(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "Too long.",
                reason="CONTEXT_LENGTH_EXCEEDED",
            )
        await asyncio.sleep(30)

    async with facade(script, whole) as (client, core):
        response = await client.post(TEXT, json={"prompt": ["a", "bad", "c"], "stream": stream})
        if stream:
            error = parse_events(response.content).error
        else:
            assert response.status_code == 400
            error = response.json()["error"]
        assert error is not None
        assert error["code"] == "context_length_exceeded"
        await wait_until_idle(core)


async def test_unknown_fields_are_ignored_and_named() -> None:
    async def whole(spec: GenerationSpec, context: Context) -> GenerateResponse:
        return whole_answer("Hi")

    extra = {"zebra": 1, "apple": {}, "bad name\n": 2, "tools": [], "safety_identifier": "x"}
    async with facade(good, whole) as (client, _):
        for stream in (False, True):
            response = await client.post(CHAT, json=QUESTION | extra | {"stream": stream})
            assert response.status_code == 200
            assert response.headers["x-ignored-params"] == "apple, zebra"
        response = await client.post(CHAT, json=QUESTION)
        assert "x-ignored-params" not in response.headers


async def test_a_core_that_comes_back_is_found_again() -> None:
    async def whole(spec: GenerationSpec, context: Context) -> GenerateResponse:
        return whole_answer("Hi")

    async with scripted_core(whole=whole) as core:
        address = core.address
    app = create_app(FacadeOptions(core_address=address))
    async with facade_server(app) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.post(CHAT, json=QUESTION)).status_code == 503
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((ScriptedCore(whole=whole).handler(),))
        server.add_insecure_port(address)
        await server.start()
        try:
            for _ in range(100):
                response = await client.post(CHAT, json=QUESTION)
                if response.status_code == 200:
                    break
                await asyncio.sleep(0.1)
            assert response.json()["choices"][0]["message"]["content"] == "Hi"
        finally:
            await server.stop(0)


async def test_a_large_answer_fits() -> None:
    text = "é" * 3_000_000

    async def whole(spec: GenerationSpec, context: Context) -> GenerateResponse:
        return whole_answer(text)

    async with facade(whole=whole) as (client, _):
        response = await client.post(CHAT, json=QUESTION)
        assert json.loads(response.content)["choices"][0]["message"]["content"] == text
