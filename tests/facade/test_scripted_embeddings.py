"""Vectors of a core that is wider, or slower, than the real one can be made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest

from sterna.v1.generation_event_pb2 import Usage
from sterna.v1.inference_pb2 import (
    ComputeSimilaritiesRequest,
    Embedding,
    EmbedRequest,
    StreamEmbedRequest,
    StreamEmbedResponse,
)
from sterna_rest.app import FacadeOptions, create_app
from tests.support.facade_server import facade_server
from tests.support.scripted_facade import leave_once

WIDTH = 8192
PART = 100
# gRPC's own limit for what a client receives.
USUAL_LIMIT = 4 * 1024 * 1024


class WideCore:
    """Answers with `WIDTH` numbers per input, or never."""

    def __init__(self, *, stuck: bool) -> None:
        self._stuck = stuck
        self.requests: list[EmbedRequest] = []
        self.total = 0
        self.waiting = False
        self.cancelled = asyncio.Event()

    async def _embed(
        self, message: StreamEmbedRequest, context: Any
    ) -> AsyncGenerator[StreamEmbedResponse]:
        request = message.request
        self.requests.append(request)
        await self._wait()
        first, count = int(request.inputs[0].text), len(request.inputs)
        for begin in range(0, count, PART):
            end = min(begin + PART, count)
            response = StreamEmbedResponse(
                model_id="org/wide",
                embeddings=[
                    Embedding(values=[float(first + offset)] * WIDTH)
                    for offset in range(begin, end)
                ],
            )
            if end == count:
                response.usage.CopyFrom(Usage(prompt_token_count=count))
            self.total += response.ByteSize()
            yield response

    async def _compare(self, request: ComputeSimilaritiesRequest, context: Any) -> Any:
        await self._wait()

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "sterna.v1.InferenceService",
            {
                "StreamEmbed": grpc.unary_stream_rpc_method_handler(
                    self._embed,
                    request_deserializer=StreamEmbedRequest.FromString,
                    response_serializer=StreamEmbedResponse.SerializeToString,
                ),
                "ComputeSimilarities": grpc.unary_unary_rpc_method_handler(
                    self._compare,
                    request_deserializer=ComputeSimilaritiesRequest.FromString,
                ),
            },
        )

    async def _wait(self) -> None:
        try:
            if self._stuck:
                self.waiting = True
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@asynccontextmanager
async def facade(
    *, stuck: bool = False, **options: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, WideCore]]:
    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1)])
    core = WideCore(stuck=stuck)
    server.add_generic_rpc_handlers((core.handler(),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with (
            facade_server(create_app(FacadeOptions(core_address=address, **options))) as url,
            httpx.AsyncClient(base_url=url, timeout=60) as client,
        ):
            yield client, core
    finally:
        await server.stop(0)


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
async def test_a_large_answer_comes_in_parts(encoding_format: str) -> None:
    # So little fits a message that there are two.
    async with facade(max_message_bytes=4096) as (client, core):
        body = {
            "input": [str(index) for index in range(300)],
            "model": "wide",
            "dimensions": WIDTH,
            "encoding_format": encoding_format,
        }
        answer = (await client.post("/v1/embeddings", json=body)).json()
    counts = [len(request.inputs) for request in core.requests]
    assert (len(counts), sum(counts)) == (2, 300)
    assert core.total > USUAL_LIMIT
    assert {request.dimension_count for request in core.requests} == {WIDTH}
    # The first answer says which model it is; the name alone might mean another one later.
    assert [request.model_id for request in core.requests] == ["wide", "org/wide"]
    assert answer["model"] == "org/wide"
    assert answer["usage"] == {"prompt_tokens": 300, "total_tokens": 300}
    assert [item["index"] for item in answer["data"]] == list(range(300))
    if encoding_format == "float":
        assert [item["embedding"][-1] for item in answer["data"]] == list(range(300))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": "1"}),
        ("/v1/embeddings", {"input": ["1"] * 300}),
        ("/v1/similarities", {"sentences": ["a", "b"]}),
        ("/api/embeddings", {"input": "1"}),
        # Ollama's.
        ("/api/embed", {"input": ["1", "2"]}),
        ("/api/embeddings", {"prompt": "1"}),
    ],
)
async def test_a_client_that_leaves(path: str, body: Any) -> None:
    ollama = path == "/api/embed" or "prompt" in body
    async with facade(stuck=True, ollama=ollama) as (client, core):
        await leave_once(lambda: core.waiting, client.post(path, json=body))
        await asyncio.wait_for(core.cancelled.wait(), 5)
        assert len(core.requests) <= 1


async def test_all_calls_share_one_time_limit() -> None:
    async with facade(stuck=True, generation_timeout_seconds=0.3) as (client, core):
        answer = await client.post("/v1/embeddings", json={"input": ["1"] * 300})
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "deadline_exceeded"
        assert len(core.requests) == 1
