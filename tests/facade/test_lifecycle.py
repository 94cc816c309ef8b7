"""Loading and unloading over real HTTP, in the words of each of the servers that had it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from sterna_rest.app import FacadeOptions, create_app
from sterna_service.app import CoreOptions, start_core
from tests.support.facade_server import facade_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMBEDDED = Path(__file__).parents[2] / "service/sterna_service/models/embedded"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    home = tmp_path_factory.mktemp("home")
    for name in ("org/one", "org/two"):
        shutil.copytree(EMBEDDED, home / "models" / name)
    core = await start_core(CoreOptions(home=home, port=0, threads=1, autoload=False))
    try:
        options = FacadeOptions(core_address=core.unix_address)
        async with (
            facade_server(create_app(options)) as url,
            httpx.AsyncClient(base_url=url, timeout=60) as client,
        ):
            yield client
    finally:
        await core.stop(0)


async def test_a_swap_in_the_words_of_trillim(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/models/load", json={"model_dir": "org/one"})
    assert answer.json() == {
        "status": "success",
        "model": "org/one",
        "recompiled": True,
        "message": "",
    }
    body = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
    chat = (await http.post("/v1/chat/completions", json=body)).json()
    assert chat["model"] == "org/one"
    assert chat["choices"][0]["message"]["content"] == "The capital of France is Paris."
    again = await http.post("/v1/models/load", json={"model_dir": "one", "threads": None})
    assert again.json()["message"] == "already loaded"
    other = await http.post("/v1/models/load", json={"model_dir": "org/one", "threads": 2})
    assert (other.status_code, other.json()["recompiled"]) == (200, False)
    back = await http.post("/v1/models/load", json={"model_dir": "sterna/tern-nano"})
    assert back.json()["model"] == "sterna/tern-nano"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model_dir": "../../etc"}, 403, "path_forbidden", None),
        ({"model_dir": "/etc"}, 403, "path_forbidden", None),
        ({"model_dir": "org/nobody"}, 404, "model_not_found", None),
        ({}, 400, "missing_required_parameter", "model_dir"),
        ({"model_dir": "org/one", "threads": 2000}, 422, "invalid_value", "threads"),
        ({"model_dir": "org/one", "harness": "other"}, 422, "invalid_value", "harness"),
    ],
)
async def test_what_is_refused(
    http: httpx.AsyncClient, body: dict[str, object], status: int, code: str, param: str | None
) -> None:
    answer = await http.post("/v1/models/load", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    if param is not None:
        assert answer.json()["error"]["param"] == param


async def test_start_and_stop_in_the_words_of_llamarunner(http: httpx.AsyncClient) -> None:
    name = "org%2Ftwo"
    assert (await http.get(f"/v1/models/{name}/status")).json()["status"] == "unloaded"
    started = await http.post(f"/v1/models/{name}/start")
    assert started.json() == {"status": "success", "message": "Model 'org/two' started"}
    assert (await http.get(f"/v1/models/{name}/status")).json()["status"] == "loaded"
    body = {"model": "two", "prompt": "Once", "max_tokens": 2}
    assert (await http.post("/v1/completions", json=body)).status_code == 200
    stopped = await http.post("/v1/models/org/two/stop")
    assert stopped.json() == {"status": "success", "message": "Model 'org/two' stopped"}
    assert (await http.get(f"/v1/models/{name}/status")).json()["status"] == "unloaded"
    refused = await http.post("/v1/completions", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "model_not_loaded")
    assert (await http.post("/v1/models/nobody/start")).json()["error"]["param"] == "model"


async def test_load_and_unload_in_the_words_of_myllm(http: httpx.AsyncClient) -> None:
    loaded = await http.post("/api/models/two/load")
    assert loaded.json() == {"status": "success", "message": "Model 'org/two' loaded"}
    assert (await http.get("/api/models/two")).json()["loaded"] is True
    unloaded = await http.post("/api/models/two/unload")
    assert unloaded.json() == {"status": "success", "message": "Model 'org/two' unloaded"}
    assert (await http.get("/api/models/two")).json()["loaded"] is False
    refused = await http.post("/api/models/nobody/load")
    assert refused.status_code == 404
    assert "nobody" in refused.json()["detail"]
