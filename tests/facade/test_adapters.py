"""LoRA adapters through the official OpenAI client and the calls that load them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest
import pytest_asyncio

from sterna.v1.model_admin_pb2 import LoadAdapterRequest, UnloadAdapterRequest
from sterna.v1.model_admin_pb2_grpc import ModelAdminServiceStub
from sterna_rest.app import FacadeOptions, create_app
from sterna_service.app import CoreOptions, start_core
from tests.support.facade_server import facade_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADAPTERS = Path(__file__).parents[1] / "data" / "adapters"
NANO = "sterna/tern-nano"
QUESTION = "What is the capital of France?"
PLAIN = "The capital of France is Paris."
PIRATE = "The capital of France be Paris, matey!"


@dataclass
class Server:
    http: httpx.AsyncClient
    api: openai.AsyncOpenAI
    admin: Any


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(ADAPTERS / "pirate", home / "models" / "someone" / "pirate")
    shutil.copytree(ADAPTERS / "golden" / "divide", home / "models" / "someone" / "other")
    core = await start_core(CoreOptions(home=home, port=0, threads=1, aliases={"*": NANO}))
    try:
        async with (
            facade_server(create_app(FacadeOptions(core_address=core.unix_address))) as url,
            httpx.AsyncClient(base_url=url, timeout=60) as http,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as api,
            grpc.aio.insecure_channel(core.address) as channel,
        ):
            yield Server(http, api, ModelAdminServiceStub(channel))
    finally:
        await core.stop(0)


@pytest_asyncio.fixture(loop_scope="module")
async def pirate(server: Server) -> AsyncIterator[str]:
    """The name of the model with its adapter, which is loaded for one test."""
    await server.admin.LoadAdapter(LoadAdapterRequest(model_id=NANO, path="someone/pirate"))
    yield f"{NANO}:pirate"
    await server.admin.UnloadAdapter(UnloadAdapterRequest(model_id=NANO, adapter_id="pirate"))


async def streamed(api: openai.AsyncOpenAI, model: str) -> tuple[str, str]:
    """The answer, and who gave it."""
    stream = await api.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": QUESTION}],
        temperature=0,
        stream=True,
    )
    text, models = "", set()
    async for chunk in stream:
        models.add(chunk.model)
        text += chunk.choices[0].delta.content or ""
    assert len(models) == 1
    return text, models.pop()


async def test_streams_of_both_at_the_same_time(server: Server, pirate: str) -> None:
    names = ["tern-nano", "tern-nano:pirate", "", pirate] * 3
    answers = await asyncio.gather(*(streamed(server.api, name) for name in names))
    for name, answer in zip(names, answers, strict=True):
        assert answer == ((PIRATE, pirate) if "pirate" in name else (PLAIN, NANO))


async def test_every_api_says_who_answered(server: Server, pirate: str) -> None:
    chat = {"model": pirate, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
    calls: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": chat,
        "/v1/messages": chat | {"max_tokens": 30},
        "/v1/responses": {"model": pirate, "input": QUESTION, "temperature": 0},
        "/v1/completions": {"model": pirate, "prompt": "Ahoy", "max_tokens": 3},
    }
    for path, body in calls.items():
        answer = await server.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == pirate, path


async def test_models_are_listed_with_their_adapters(server: Server, pirate: str) -> None:
    listed = [model async for model in await server.api.models.list()]
    assert [model.id for model in listed] == [NANO, pirate]
    assert (await server.api.models.retrieve("tern-nano:pirate")).id == pirate
    body = (await server.http.get(f"/v1/models/{pirate}")).json()
    assert (body["id"], body["parent"]) == (pirate, NANO)
    assert (await server.http.get("/v1/models/tern-nano")).json()["parent"] is None


async def test_unknown_adapters(server: Server) -> None:
    for call in (
        server.http.get("/v1/models/tern-nano:nobody"),
        server.http.post("/v1/completions", json={"model": "tern-nano:nobody", "prompt": "x"}),
    ):
        answer = await call
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "adapter_not_found", answer.text
        assert "nobody" in answer.json()["error"]["message"]


async def test_a_swap_in_the_words_of_trillim(server: Server) -> None:
    """Its clients name any model, or none, and get what was loaded last."""
    load = {"model_dir": "tern-nano", "adapter_dir": "someone/pirate", "lora_quant": "bf16"}
    answer = await server.http.post("/v1/models/load", json=load)
    assert answer.json() == {
        "status": "success",
        "model": NANO,
        "recompiled": False,
        "message": "",
    }
    for name in ("", "whatever", "tern-nano"):
        assert (await streamed(server.api, name))[0] == PIRATE
    assert (await streamed(server.api, "tern-nano:none"))[0] == PLAIN
    # Starting what runs changes nothing.
    await server.http.post(f"/v1/models/{NANO}/start")
    assert (await streamed(server.api, ""))[0] == PIRATE
    again = await server.http.post("/v1/models/load", json=load)
    assert again.json()["message"] == "already loaded"
    await server.http.post("/v1/models/load", json={"model_dir": "tern-nano"})
    assert (await streamed(server.api, ""))[0] == PLAIN


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"adapter_dir": "../../etc"}, 403, "path_forbidden", None),
        ({"adapter_dir": "/etc"}, 403, "path_forbidden", None),
        ({"adapter_dir": "someone/nobody"}, 404, "adapter_not_found", None),
        ({"adapter_dir": "someone/other"}, 400, "adapter_unsupported", None),
        ({"lora_quant": "q6_k"}, 422, "invalid_value", "lora_quant"),
    ],
)
async def test_what_is_refused(
    server: Server, fields: dict[str, str], status: int, code: str, param: str | None
) -> None:
    answer = await server.http.post("/v1/models/load", json={"model_dir": NANO} | fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    if param is not None:
        assert answer.json()["error"]["param"] == param
    assert (await streamed(server.api, ""))[0] == PLAIN


async def test_the_store_is_listed(server: Server) -> None:
    answer = await server.http.get("/v1/adapters")
    other, pirate = answer.json()["data"]
    assert (other["id"], other["base_model"], other["rank"]) == (
        "someone/other",
        "tiny/bitnet-divide",
        4,
    )
    assert (pirate["id"], pirate["object"], pirate["problem"]) == ("someone/pirate", "adapter", "")
    size = (ADAPTERS / "pirate" / "adapter_model.safetensors").stat().st_size
    assert pirate["size_bytes"] == size
    assert "q_proj" in pirate["target_modules"]
    assert "path" not in pirate
