"""The two ways to answer a generation request: as a whole, and as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import Request
from pydantic_core import to_json
from starlette.responses import Response

from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import GenerateResponse
from sterna_rest.generation.call import Generator
from sterna_rest.generation.chunks import EventEncoder, encoded
from sterna_rest.generation.fan_out import FanOut, whole_answers
from sterna_rest.generation.fields import RequestModel
from sterna_rest.generation.unsupported import ignored_headers
from sterna_rest.http.disconnect import unless_client_leaves
from sterna_rest.http.event_stream import EventStream
from sterna_rest.options import FacadeOptions


async def whole_answer(
    request: Request,
    options: FacadeOptions,
    body: RequestModel,
    generator: Generator,
    specs: Sequence[GenerationSpec],
    transcode: Callable[[list[GenerateResponse]], dict[str, Any]],
) -> Response:
    """One JSON body. The calls are cancelled as soon as the client leaves."""
    answers = await unless_client_leaves(
        request, whole_answers(generator, specs, options.prompt_concurrency)
    )
    return Response(
        to_json(transcode(answers)),
        media_type="application/json",
        headers=ignored_headers(body.unknown_fields()),
    )


async def streamed_answer(
    request: Request,
    options: FacadeOptions,
    body: RequestModel,
    generator: Generator,
    specs: Sequence[GenerationSpec],
    encoder: EventEncoder,
) -> Response:
    """Server-sent events. What the core refuses at once is still an HTTP status."""
    answers = FanOut(generator, specs, options.prompt_concurrency)
    try:
        await unless_client_leaves(request, answers.accepted())
    except BaseException:
        answers.cancel()
        raise

    async def chunks() -> AsyncGenerator[bytes, None]:
        async with aclosing(answers.events()) as events:
            async for chunk in encoded(events, encoder, prompt_count=len(specs)):
                yield chunk

    return EventStream(
        chunks(),
        keepalive_seconds=options.keepalive_seconds,
        on_close=answers.cancel,
        on_error=encoder.error,
        headers=ignored_headers(body.unknown_fields()),
        keepalive=encoder.keepalive,
        media_type=encoder.media_type,
    )
