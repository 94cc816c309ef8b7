"""Equal greedy requests to a running server, over gRPC and REST, as cheaply as a client can."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import grpc

from sterna.v1 import generation_pb2, inference_pb2, inference_pb2_grpc


class LoadError(Exception):
    """The server did not answer as it should."""


@dataclass(frozen=True)
class Outcome:
    """Of some requests that began together: seconds to the first token of any, and to the end."""

    first_token: float
    end: float


async def over_grpc(
    channel: grpc.aio.Channel, prompts: Sequence[Sequence[int]], tokens: int
) -> Outcome:
    """StreamGenerate for every prompt at the same time, all on one connection."""
    stub = inference_pb2_grpc.InferenceServiceStub(channel)
    begin = time.perf_counter()

    async def one(prompt: Sequence[int]) -> float:
        spec = generation_pb2.GenerationSpec(
            tokens=generation_pb2.TokenPrompt(token_ids=prompt),
            sampling=generation_pb2.SamplingParams(temperature=0.0),
            stop=generation_pb2.StopCriteria(max_tokens=tokens, ignore_eos=True),
        )
        first, received = 0.0, 0
        async for event in stub.StreamGenerate(inference_pb2.StreamGenerateRequest(spec=spec)):
            if event.WhichOneof("event") == "delta":
                first = first or time.perf_counter() - begin
                received += len(event.delta.token_ids)
        if received != tokens:
            raise LoadError(f"{received} tokens came over gRPC, and not {tokens}")
        return first

    firsts = await asyncio.gather(*(one(prompt) for prompt in prompts))
    return Outcome(min(firsts), time.perf_counter() - begin)


async def over_rest(url: str, prompts: Sequence[Sequence[int]], tokens: int) -> Outcome:
    """POST /v1/completions with `stream` for every prompt at the same time."""
    address = urlsplit(url)
    begin = time.perf_counter()

    async def one(prompt: Sequence[int]) -> float:
        body = {
            "prompt": list(prompt),
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
        }
        data = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data
        )
        first, last = 0.0, b""
        status = await reader.readline()
        if b" 200 " not in status:
            raise LoadError(f"REST said {(status + await reader.read()).decode()}")
        async for line in reader:
            if line.startswith(b"data: {"):
                first = first or time.perf_counter() - begin
            if line.startswith(b"data:"):
                last = line
        writer.close()
        if last != b"data: [DONE]\n":
            raise LoadError(f"the answer over REST ended with {last!r}")
        return first

    firsts = await asyncio.gather(*(one(prompt) for prompt in prompts))
    return Outcome(min(firsts), time.perf_counter() - begin)
