"""What a search shows in a streamed chat, and in one that is not streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from sterna.v1.generation_event_pb2 import (
    GenerationProgress,
    SearchCompleted,
    SearchStarted,
    SearchUnavailable,
)
from sterna.v1.generation_pb2 import GenerationSpec, Harness, SearchProvider
from sterna.v1.inference_pb2 import StreamGenerateResponse
from tests.support.scripted_core import Script, ScriptedCore, delta, finished, started, usage
from tests.support.scripted_facade import facade

MESSAGES: Any = [{"role": "user", "content": "Who won?"}]


def progress(**step: Any) -> StreamGenerateResponse:
    return StreamGenerateResponse(progress=GenerationProgress(**step))


@asynccontextmanager
async def asked(stream: Script) -> AsyncIterator[tuple[openai.AsyncOpenAI, ScriptedCore]]:
    """The official client, and the core that it talks to."""
    async with (
        facade(stream) as (http, core),
        openai.AsyncOpenAI(base_url=f"{http.base_url}/v1", api_key="x", max_retries=0) as api,
    ):
        yield api, core


@pytest.mark.parametrize("works", [True, False])
async def test_markers(works: bool) -> None:
    async def stream(spec: GenerationSpec, context: Any) -> AsyncIterator[StreamGenerateResponse]:
        yield started()
        yield progress(search_started=SearchStarted(query='the "cup" 2026'))
        if works:
            yield progress(search_completed=SearchCompleted(source_count=2))
        else:
            yield progress(search_unavailable=SearchUnavailable(message="no net"))
        yield delta("Nobody.")
        yield finished()
        yield usage()

    async with asked(stream) as (api, core):
        answer = await api.chat.completions.create(
            model="",
            messages=MESSAGES,
            stream=True,
            extra_body={"harness": "search", "search_provider": "brave"},
        )
        texts = [
            chunk.choices[0].delta.content
            async for chunk in answer
            if chunk.choices[0].delta.content
        ]
    second = "[Synthesizing...]" if works else "[Search unavailable]"
    assert texts == ['[Searching: the "cup" 2026]', "\n", second, "\n", "Nobody."]
    assert core.specs[0].harness.harness == Harness.HARNESS_SEARCH
    assert core.specs[0].harness.search_provider == SearchProvider.SEARCH_PROVIDER_BRAVE


async def test_openais_own_field() -> None:
    async def stream(spec: GenerationSpec, context: Any) -> AsyncIterator[StreamGenerateResponse]:
        yield started()
        yield delta("Yes.")
        yield finished()
        yield usage()

    async with asked(stream) as (api, core):
        answer = await api.chat.completions.create(
            model="", messages=MESSAGES, stream=True, web_search_options={}
        )
        async for _ in answer:
            pass
    assert core.specs[0].harness.harness == Harness.HARNESS_SEARCH
