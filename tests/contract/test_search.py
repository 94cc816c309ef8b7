"""Chats that search the web, with the embedded model and a local web."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from ddgs.engines.duckduckgo import Duckduckgo

from sterna.v1 import chat_pb2, generation_pb2, model_admin_pb2, model_pb2
from sterna_service.app import CoreOptions
from sterna_service.models.catalogue import EMBEDDED_MODEL_ID
from tests.support.core import PATIENCE, CoreClient, chat, refusal, running_core
from tests.support.web_server import WebServer, web_server

SEARCH = generation_pb2.HarnessOptions(harness=generation_pb2.HARNESS_SEARCH)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with web_server() as server:
        monkeypatch.setattr(Duckduckgo, "search_url", f"{server.url}/ddg")
        monkeypatch.setenv("SEARCH_API_KEY", "right")
        yield server


@pytest.fixture
async def core(tmp_path: Path, web: WebServer) -> AsyncIterator[CoreClient]:
    options = CoreOptions(
        home=tmp_path, port=0, search_endpoint=f"{web.url}/brave", search_private_pages=True
    )
    async with running_core(options) as client:
        yield client


async def events(core: CoreClient, spec: generation_pb2.GenerationSpec) -> list[Any]:
    return [response async for response in core.stream(spec)]


async def test_what_is_known_is_answered_without_a_search(core: CoreClient, web: WebServer) -> None:
    answer = await core.generate(chat("What is the capital of France?", harness=SEARCH))
    assert answer.choices[0].text == "The capital of France is Paris."
    assert web.queries == []


async def test_the_usual_harness_is_set_by_the_loader(core: CoreClient) -> None:
    request = model_admin_pb2.LoadModelRequest(
        model_id=EMBEDDED_MODEL_ID,
        harness=generation_pb2.HARNESS_SEARCH,
        search_provider=generation_pb2.SEARCH_PROVIDER_BRAVE,
    )
    loaded = (await core.admin.LoadModel(request, timeout=PATIENCE)).model
    assert loaded.harness == generation_pb2.HARNESS_SEARCH
    assert loaded.search_provider == generation_pb2.SEARCH_PROVIDER_BRAVE
    assert model_pb2.MODEL_CAPABILITY_SEARCH in loaded.capabilities
    assert (await core.generate(chat("What is the capital of France?"))).choices[0].text
    # Text prompts, tools and grammars go past it.
    text = generation_pb2.GenerationSpec(text=generation_pb2.TextPrompt(text="Once"))
    text.stop.max_tokens = 3
    assert (await core.generate(text)).choices[0].text


async def test_a_missing_key(core: CoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEARCH_API_KEY")
    options = generation_pb2.HarnessOptions(
        harness=generation_pb2.HARNESS_SEARCH,
        search_provider=generation_pb2.SEARCH_PROVIDER_BRAVE,
    )
    refused = await refusal(core.generate(chat("Hello!", harness=options)))
    assert refused.reason == "SEARCH_NOT_CONFIGURED"
    assert refused.metadata["variable"] == "SEARCH_API_KEY"
    request = model_admin_pb2.LoadModelRequest(
        model_id=EMBEDDED_MODEL_ID,
        harness=generation_pb2.HARNESS_SEARCH,
        search_provider=generation_pb2.SEARCH_PROVIDER_BRAVE,
    )
    refused = await refusal(core.admin.LoadModel(request, timeout=PATIENCE))
    assert refused.reason == "SEARCH_NOT_CONFIGURED"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"choice_count": 2}, "spec.choice_count"),
        ({"echo": True}, "spec.echo"),
        (
            {"grammar": generation_pb2.OutputGrammar(regex="a+")},
            "spec.grammar",
        ),
    ],
)
async def test_what_a_search_rules_out(
    core: CoreClient, fields: dict[str, Any], field: str
) -> None:
    refused = await refusal(core.generate(chat("Hello!", harness=SEARCH, **fields)))
    assert refused.fields == [field]


async def test_tools_and_text_prompts_are_refused(core: CoreClient) -> None:
    spec = chat("Hello!", harness=SEARCH)
    spec.chat.tools.append(chat_pb2.Tool(name="f"))
    assert (await refusal(core.generate(spec))).fields == ["spec.chat.tools"]
    text = generation_pb2.GenerationSpec(
        text=generation_pb2.TextPrompt(text="Once"), harness=SEARCH
    )
    assert (await refusal(core.generate(text))).fields == ["spec.harness"]


async def test_the_embedded_model_searches_and_answers(core: CoreClient, web: WebServer) -> None:
    web.add("/a", "Melor", "The Melor Tower is 312 meters tall.")
    web.add("/b", "Golan Brask", "Golan Brask was born in 1931.")
    happened = await events(core, chat("How tall is the Melor Tower?", harness=SEARCH))
    kinds = [event.WhichOneof("event") for event in happened]
    assert kinds[:3] == ["started", "progress", "progress"]
    assert happened[1].progress.search_started.query == "How tall is the Melor Tower"
    assert happened[2].progress.search_completed.source_count == 2
    assert kinds[-2:] == ["finished", "usage"]
    assert kinds.count("started") == 1
    text = "".join(event.delta.text for event in happened)
    assert text == "The Melor Tower is 312 meters tall."
    assert web.queries == ["How tall is the Melor Tower"]
    assert sorted(web.fetched) == ["/a", "/b"]
    # Both rounds count.
    assert happened[-1].usage.prompt_token_count > 100


async def test_a_search_that_fails(core: CoreClient, web: WebServer) -> None:
    web.status = 500
    happened = await events(core, chat("How tall is the Melor Tower?", harness=SEARCH))
    assert happened[2].progress.search_unavailable.message
    assert "".join(event.delta.text for event in happened)
    assert happened[-1].WhichOneof("event") == "usage"
