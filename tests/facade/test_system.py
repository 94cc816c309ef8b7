"""Status and description of models and server over real HTTP, as the real core has them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from sterna.v1.model_pb2 import Model, ModelState
from sterna_rest.system.transcode import model_status
from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as client:
        yield client


async def test_status_of_a_model(http: httpx.AsyncClient) -> None:
    before = datetime.now(UTC)
    await http.post("/v1/completions", json={"prompt": "a", "max_tokens": 1})
    status = (await http.get(f"/v1/models/{MODEL}/status")).json()
    assert status["id"] == MODEL
    assert status["status"] == "loaded"
    assert status["port"] > 0
    assert 0 <= status["uptime"] < 3600
    assert status["memory_usage"] > 0
    assert status["message"] is None
    assert datetime.fromisoformat(status["last_used"]) >= before


async def test_info_of_a_model(http: httpx.AsyncClient) -> None:
    info = (await http.get(f"/v1/models/{MODEL}/info")).json()
    assert info["id"] == MODEL
    assert info["path"].endswith("embedded")
    assert info["size"] > 0
    assert info["parameters"] > 0
    assert info["format"] == "safetensors"
    assert info["architecture"].endswith("ForCausalLM")
    assert info["context_length"] > 0
    assert info["loaded"] is True


@pytest.mark.parametrize("what", ["status", "info"])
async def test_names_of_models(http: httpx.AsyncClient, what: str) -> None:
    for name in (MODEL, "sterna%2Ftern-nano", "tern-nano"):
        assert (await http.get(f"/v1/models/{name}/{what}")).json()["id"] == MODEL
    answer = await http.get(f"/v1/models/nobody/{what}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert answer.json()["error"]["param"] == "model"


async def test_the_model_itself_is_still_found(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"/v1/models/{MODEL}")).json()["object"] == "model"


async def test_the_system(http: httpx.AsyncClient) -> None:
    body = (await http.get("/v1/system/status")).json()
    assert body["status"] == "running"
    assert body["models"]["loaded"] == 1
    assert body["models"]["total"] >= 1
    assert body["models"]["memory_usage"] > 0
    port = urlsplit(str(http.base_url)).port
    assert body["proxies"] == {"rest": {"status": "running", "port": port}}
    assert 0 <= body["system"]["cpu_usage"] <= 100
    assert body["system"]["memory_usage"] > 0
    assert body["system"]["available_memory"] > 0


async def test_the_server(http: httpx.AsyncClient) -> None:
    body = (await http.get("/v1/server/info")).json()
    root = (await http.get("/")).json()
    assert body["id"] == "sterna"
    assert body["version"] == root["version"]
    assert "chat" in body["features"]
    assert "safetensors" in body["models_supported"]
    assert body["runtime_info"]["python_version"].startswith("3.")
    assert body["runtime_info"]["platform"]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ModelState.MODEL_STATE_UNLOADED, "unloaded"),
        (ModelState.MODEL_STATE_LOADING, "loading"),
        (ModelState.MODEL_STATE_LOADED, "loaded"),
        (ModelState.MODEL_STATE_UNLOADING, "unloaded"),
        (ModelState.MODEL_STATE_FAILED, "error"),
    ],
)
async def test_every_state_has_its_name(state: ModelState, status: str) -> None:
    model = Model(model_id="org/model", state=state, state_message="broken")
    model.load_time.FromSeconds(1000)
    body = model_status(model, None, datetime.fromtimestamp(1060.5, UTC))
    assert body.status == status
    assert body.uptime == (60 if status == "loaded" else 0)
    assert body.last_used is None
    assert body.port is None
