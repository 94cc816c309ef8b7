"""The façade in front of a core that does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx

from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import StreamGenerateResponse
from sterna_rest.app import FacadeOptions, create_app
from tests.support.facade_server import facade_server
from tests.support.scripted_core import (
    Context,
    Script,
    ScriptedCore,
    Whole,
    delta,
    finished,
    scripted_core,
    started,
    usage,
)

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
QUESTION = {"messages": [{"role": "user", "content": "Hi"}]}
STREAMED = QUESTION | {"stream": True}

# What the core says when it has queued a request.
ACCEPTED = (("x-request-id", "any"),)


@asynccontextmanager
async def facade(
    stream: Script | None = None, whole: Whole | None = None, **options: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, ScriptedCore]]:
    """A client of the façade, and the core behind it. `options` are those of the façade."""
    async with (
        scripted_core(stream, whole) as core,
        facade_server(create_app(FacadeOptions(core_address=core.address, **options))) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        yield client, core


async def good(spec: GenerationSpec, context: Context) -> AsyncIterator[StreamGenerateResponse]:
    """A short answer."""
    yield started()
    for choice in range(spec.choice_count or 1):
        yield delta("Hi", choice)
        yield finished(choice)
    yield usage()


async def forever(spec: GenerationSpec, context: Context) -> AsyncIterator[StreamGenerateResponse]:
    """Begins to answer and never ends."""
    await context.send_initial_metadata(ACCEPTED)
    yield started()
    yield delta("Hi")
    await asyncio.Event().wait()


async def silent(spec: GenerationSpec, context: Context) -> AsyncIterator[StreamGenerateResponse]:
    """Takes the request and says nothing, as during a long prompt."""
    await context.send_initial_metadata(ACCEPTED)
    await asyncio.Event().wait()
    yield started()


async def leave_once(called: Callable[[], object], request: Coroutine[Any, Any, object]) -> None:
    """Makes a request, and closes its connection as soon as the core was called."""
    sent = asyncio.create_task(request)
    async with asyncio.timeout(30):
        while not called():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    sent.cancel()
    await asyncio.gather(sent, return_exceptions=True)


async def wait_until_idle(core: ScriptedCore) -> None:
    """Returns when no call runs. Fails when that takes long."""
    async with asyncio.timeout(60):
        while core.running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
