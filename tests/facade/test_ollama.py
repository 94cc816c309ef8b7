"""Ollama's API, driven by its official client."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
import pytest_asyncio

from sterna_rest.app import FacadeOptions, create_app
from sterna_rest.ollama.transcode import keep_alive_seconds
from sterna_service.app import CoreOptions, start_core
from tests.support.facade_server import facade_server
from tests.support.hub_server import HubServer, hub_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIRATE = Path(__file__).parents[1] / "data" / "adapters" / "pirate"
EMBEDDED = Path(__file__).parents[2] / "service/sterna_service/models/embedded"
MODEL = "sterna/tern-nano"
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


@dataclass
class Stand:
    """A server that speaks it, and the hub that it pulls from."""

    url: str
    api: ollama.AsyncClient
    hub: HubServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    directory = tmp_path_factory.mktemp("ollama")
    shutil.copytree(EMBEDDED, directory / "repository")
    shutil.copytree(EMBEDDED, directory / "home/models/org/one")
    with hub_server() as hub:
        hub.repositories["org/pulled"] = directory / "repository"
        options = CoreOptions(home=directory / "home", port=0, threads=1, hub_endpoint=hub.url)
        core = await start_core(options)
        try:
            facade = FacadeOptions(core_address=core.unix_address, ollama=True)
            async with facade_server(create_app(facade)) as url:
                yield Stand(url, ollama.AsyncClient(url, timeout=60), hub)
        finally:
            await core.stop(0)


async def test_chat(stand: Stand) -> None:
    messages = [{"role": "user", "content": QUESTION}]
    answer = await stand.api.chat(f"{MODEL}:latest", messages)
    assert answer.message.content == ANSWER
    assert (answer.model, answer.done, answer.done_reason) == (MODEL, True, "stop")
    assert answer.eval_count
    assert answer.prompt_eval_count
    assert answer.total_duration
    streamed = [part async for part in await stand.api.chat("tern-nano", messages, stream=True)]
    assert "".join(part.message.content or "" for part in streamed) == ANSWER
    assert [part.done for part in streamed].count(True) == 1
    assert streamed[-1].done
    assert streamed[-1].eval_count == answer.eval_count


async def test_generate(stand: Stand) -> None:
    answer = await stand.api.generate(MODEL, QUESTION)
    assert answer.response == ANSWER
    short = await stand.api.generate(
        MODEL, "Once upon a time", raw=True, options={"num_predict": 5, "seed": 1}
    )
    assert (short.eval_count, short.done_reason) == (5, "length")
    parts = [part async for part in await stand.api.generate(MODEL, QUESTION, stream=True)]
    assert "".join(part.response or "" for part in parts) == ANSWER


async def test_options(stand: Stand) -> None:
    options = {"temperature": 1.0, "seed": 7, "num_predict": 12, "top_k": 40, "num_ctx": 2048}
    texts = {
        (await stand.api.generate(MODEL, "Tell me a story.", options=options)).response
        for _ in range(2)
    }
    assert len(texts) == 1
    stopped = await stand.api.generate(MODEL, QUESTION, options={"stop": ["Paris"]})
    assert stopped.response == ANSWER.partition("Paris")[0]


async def test_formats(stand: Stand) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "big": {"type": "boolean"}},
        "required": ["city", "big"],
        "additionalProperties": False,
    }
    answer = await stand.api.generate(MODEL, QUESTION, format=schema)
    assert set(json.loads(answer.response or "")) == {"city", "big"}


async def test_tools(stand: Stand) -> None:
    tools = [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string", "maxLength": 10}},
                    "required": ["city"],
                },
            },
        }
    ]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Weather in Rome?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}],
        },
        {"role": "tool", "tool_name": "weather", "content": "Sunny"},
    ]
    answer = await stand.api.chat(MODEL, messages, tools=tools)
    assert answer.done
    assert answer.message.role == "assistant"


async def test_models(stand: Stand) -> None:
    names = [each.model for each in (await stand.api.list()).models]
    assert names[0] == MODEL
    assert "org/one" in names
    shown = await stand.api.show(MODEL)
    assert shown.details is not None
    assert shown.details.family == "bitnet"
    assert "completion" in (shown.capabilities or [])
    assert (await stand.api.ps()).models[0].model == MODEL
    async with httpx.AsyncClient(base_url=stand.url) as http:
        assert (await http.get("/api/version")).json()["version"]
        assert (await http.get("/")).text == "Ollama is running"
        assert (await http.head("/")).status_code == 200
        # The OpenAI API is there, too.
        assert (await http.get("/v1/models")).json()["object"] == "list"


async def test_loading_and_unloading(stand: Stand) -> None:
    loaded = await stand.api.generate("one", "", keep_alive="5m")
    assert (loaded.done_reason, loaded.response) == ("load", "")
    assert "org/one" in [each.model for each in (await stand.api.ps()).models]
    gone = await stand.api.generate("one", "", keep_alive=0)
    assert gone.done_reason == "unload"
    assert "org/one" not in [each.model for each in (await stand.api.ps()).models]


async def test_texts_that_no_message_can_hold(stand: Stand) -> None:
    with pytest.raises(ollama.ResponseError, match="`input` is larger than the limit") as refused:
        await stand.api.embed(MODEL, ["tern " * 1000] * 1000)
    assert refused.value.status_code == 413
    with pytest.raises(ollama.ResponseError, match="`prompt` is larger than the limit") as refused:
        await stand.api.embeddings(MODEL, "tern " * 1_000_000)
    assert refused.value.status_code == 413


async def test_embeddings(stand: Stand) -> None:
    vectors = await stand.api.embed(MODEL, ["a tern", "a gull"])
    assert len(vectors.embeddings) == 2
    assert sum(x * x for x in vectors.embeddings[0]) == pytest.approx(1, abs=1e-3)
    assert vectors.prompt_eval_count
    single = await stand.api.embeddings(MODEL, "a tern")
    assert list(single.embedding) == pytest.approx(list(vectors.embeddings[0]), abs=1e-6)


async def test_pull_and_delete(stand: Stand) -> None:
    states = [each.status async for each in await stand.api.pull("org/pulled", stream=True)]
    assert states[-1] == "success"
    assert (await stand.api.chat("pulled", [{"role": "user", "content": QUESTION}])).done
    await stand.api.generate("pulled", "", keep_alive=0)
    assert (await stand.api.delete("org/pulled")).status == "success"
    with pytest.raises(ollama.ResponseError) as caught:
        await stand.api.pull("org/nobody")
    assert "org/nobody" in caught.value.error


async def test_an_adapter_is_pulled_and_deleted(stand: Stand) -> None:
    stand.hub.repositories["org/adapter"] = PIRATE
    states = [each.status async for each in await stand.api.pull("org/adapter", stream=True)]
    assert states[-1] == "success"
    assert "org/adapter" not in [each.model for each in (await stand.api.list()).models]
    with pytest.raises(ollama.ResponseError) as caught:
        await stand.api.chat("org/adapter", [{"role": "user", "content": QUESTION}])
    assert (caught.value.status_code, "is an adapter" in caught.value.error) == (404, True)
    assert (await stand.api.delete("org/adapter")).status == "success"


async def test_errors(stand: Stand) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        await stand.api.chat("nobody", [{"role": "user", "content": "Hi"}])
    assert caught.value.status_code == 404
    assert "nobody" in caught.value.error
    async with httpx.AsyncClient(base_url=stand.url) as http:
        for body in (b"{", b'{"model": 3}', b'{"prompt": "x", "options": {"temperature": 9}}'):
            answer = await http.post(
                "/api/generate", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code in (400, 422)
            assert list(answer.json()) == ["error"]
        for field, value in (("images", ["x"]), ("think", True), ("suffix", "x")):
            answer = await http.post("/api/generate", json={"prompt": "x", field: value})
            assert answer.status_code == 400
            assert field in answer.json()["error"]
        assert list((await http.get("/api/nothing")).json()) == ["error"]


@pytest.mark.parametrize(
    ("value", "seconds"), [("5m", 300), ("1h30m", 5400), ("-1", -1), (7, 7), ("250ms", 0.25)]
)
async def test_keep_alive(value: float | str, seconds: float) -> None:
    assert keep_alive_seconds(value) == seconds


@pytest.mark.parametrize("value", ["99999999999999999999h", "9" * 400 + "s", "abc", "", 1e308])
async def test_a_keep_alive_that_is_none(stand: Stand, value: float | str) -> None:
    async with httpx.AsyncClient(base_url=stand.url) as http:
        answer = await http.post("/api/generate", json={"prompt": "x", "keep_alive": value})
        assert answer.status_code == 400
        assert "`keep_alive` must be" in answer.json()["error"]


async def test_a_bug_has_the_body_of_an_error() -> None:
    app = create_app(FacadeOptions(core_address="127.0.0.1:1", ollama=True))

    @app.post("/api/broken")
    async def broken() -> None:
        raise RuntimeError("secret")

    async with facade_server(app) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await http.post("/api/broken")
        assert answer.status_code == 500
        assert list(answer.json()) == ["error"]
        assert "secret" not in answer.text


async def test_json_need_not_be_declared_by_programs(stand: Stand) -> None:
    body = json.dumps({"model": MODEL, "prompt": "Once", "raw": True, "stream": False})
    async with httpx.AsyncClient(base_url=stand.url, timeout=60) as http:
        for headers, status in (
            ({}, 200),
            ({"content-type": "application/x-www-form-urlencoded"}, 200),
            ({"origin": "https://example.org"}, 415),
            ({"referer": "https://example.org/", "content-type": "text/plain"}, 415),
        ):
            answer = await http.post("/api/generate", content=body, headers=headers)
            assert answer.status_code == status, (headers, answer.text)
        # Only where Ollama's clients ask.
        elsewhere = await http.post("/v1/completions", content=body)
        assert elsewhere.status_code == 415
