"""Webhooks over real HTTP, as LlamaRunner's users register them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import openai
import pytest
import pytest_asyncio

from sterna_rest.app import FacadeOptions, create_app
from sterna_rest.webhooks.transcode import event_name, event_type
from sterna_service.app import CoreOptions, start_core
from sterna_service.models.events import EventKind
from sterna_service.rpc.to_models import EVENT_TYPES
from tests.support.facade_server import facade_server
from tests.support.hook_server import QUICK, HookServer, hook_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    home: Path = tmp_path_factory.mktemp("home")
    core = await start_core(CoreOptions(home=home, port=0, threads=1, webhooks=QUICK))
    try:
        options = FacadeOptions(core_address=core.unix_address)
        async with (
            facade_server(create_app(options)) as url,
            httpx.AsyncClient(base_url=url, timeout=60) as client,
        ):
            yield client
    finally:
        await core.stop(0)


@pytest.fixture
def target() -> Iterator[HookServer]:
    with hook_server() as server:
        yield server


async def test_from_registration_to_the_end(http: httpx.AsyncClient, target: HookServer) -> None:
    body = {
        "url": f"{target.url}/webhook",
        "events": ["model.started", "model.stopped", "transcription.completed"],
    }
    made = (await http.post("/v1/webhooks/register", json=body)).json()
    secret = made.pop("secret")
    assert made == {
        "id": made["id"],
        "object": "webhook",
        **body,
        "created_at": made["created_at"],
        "status": "active",
        "last_success_at": None,
        "last_failure_at": None,
    }
    assert (await http.get("/v1/webhooks")).json() == {"object": "list", "data": [made]}
    path = f"/v1/webhooks/{made['id']}"
    assert (await http.get(path)).json() == made
    await http.post(f"/v1/models/{MODEL}/stop")
    await http.post(f"/v1/models/{MODEL}/start")
    told = await asyncio.to_thread(target.wait, 2)
    client = openai.OpenAI(api_key="unused", webhook_secret=secret)
    for each in told:
        client.webhooks.unwrap(each.body, each.headers)
    assert {each.json["event"] for each in told} == {"model.started", "model.stopped"}
    assert {each.json["data"]["model_id"] for each in told} == {MODEL}

    seen: list[str] = []
    async with asyncio.timeout(60):
        while len(seen) < 2:
            page = (await http.get(f"{path}/deliveries", params={"limit": 1})).json()
            seen = [each["id"] for each in page["data"]]
            if page["next"]:
                rest = await http.get(f"{path}/deliveries", params={"after": page["next"]})
                seen += [each["id"] for each in rest.json()["data"]]
    assert set(seen) == {each.delivery_id for each in told}

    new = (await http.post(f"{path}/rotate")).json()["secret"]
    assert new.startswith("whsec_")
    assert new != secret
    deleted = (await http.delete(path)).json()
    assert deleted == {"id": made["id"], "object": "webhook", "deleted": True}
    for call in (http.get(path), http.delete(path), http.post(f"{path}/rotate")):
        answer = await call
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "webhook_not_found"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"events": ["model.started"]}, 400, "url"),
        ({"url": "https://example.com", "events": []}, 422, "events"),
        ({"url": "https://example.com", "events": ["model.exploded"]}, 422, "events[0]"),
        ({"url": "gopher://example.com", "events": ["model.started"]}, 400, "url"),
    ],
)
async def test_what_is_refused(
    http: httpx.AsyncClient, body: dict[str, object], status: int, param: str
) -> None:
    answer = await http.post("/v1/webhooks/register", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)


async def test_every_event_has_its_name() -> None:
    for kind in EventKind:
        number = EVENT_TYPES[kind]
        assert (event_name(number), event_type(kind.value)) == (kind.value, number)
