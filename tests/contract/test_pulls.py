"""Downloads over gRPC: progress, clients that leave and come back, cancelling."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sterna.v1 import model_admin_pb2, pull_pb2
from sterna_service.app import CoreOptions
from tests.support.core import PATIENCE, CoreClient, chat, eventually, refusal, running_core
from tests.support.hub_server import COMMIT, HubServer, hub_server

EMBEDDED = Path(__file__).parents[2] / "service/sterna_service/models/embedded"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    shutil.copytree(EMBEDDED, tmp_path / "repository")
    with hub_server() as server:
        server.repositories["org/model"] = tmp_path / "repository"
        yield server


@pytest.fixture
async def core(tmp_path: Path, hub: HubServer) -> AsyncIterator[CoreClient]:
    options = CoreOptions(home=tmp_path / "home", port=0, hub_endpoint=hub.url)
    async with running_core(options) as client:
        yield client


def pull(core: CoreClient, source: str = "org/model", revision: str = "") -> Any:
    request = model_admin_pb2.PullModelRequest(source=source, revision=revision)
    return core.admin.PullModel(request, timeout=PATIENCE)


async def to_the_end(call: Any) -> list[Any]:
    return [response async for response in call]


async def running(core: CoreClient) -> list[Any]:
    answer = await core.admin.ListPulls(model_admin_pb2.ListPullsRequest(), timeout=PATIENCE)
    return list(answer.pulls)


async def test_a_pulled_model_answers(core: CoreClient) -> None:
    reports = await to_the_end(pull(core))
    last = reports[-1]
    assert last.pull.state == pull_pb2.Pull.STATE_COMPLETED
    assert last.pull.received_bytes == last.pull.total_bytes > 0
    assert last.pull.revision == COMMIT
    assert (last.model.model_id, last.model.revision) == ("org/model", COMMIT)
    answer = await core.generate(chat("What is the capital of France?", model_id="model"))
    assert answer.model_id == "org/model"
    assert await running(core) == []


async def test_a_client_leaves_and_another_one_attaches(core: CoreClient, hub: HubServer) -> None:
    hub.hold = threading.Event()
    first = pull(core)
    await first.read()

    async def half_way() -> bool:
        return any(each.current_file == "model.safetensors" for each in await running(core))

    await eventually(half_way)
    first.cancel()
    assert len(await running(core)) == 1
    second = pull(core)
    begun = await second.read()
    assert begun.pull.state == pull_pb2.Pull.STATE_DOWNLOADING
    hub.hold.set()
    while (response := await second.read()) is not grpc.aio.EOF:
        begun = response
    assert begun.pull.state == pull_pb2.Pull.STATE_COMPLETED
    # One download, whoever watched it.
    assert sum(1 for token in hub.tokens) < 12


async def test_a_pull_is_cancelled(core: CoreClient, hub: HubServer) -> None:
    hub.hold = threading.Event()
    watching = asyncio.create_task(refusal(to_the_end(pull(core))))

    async def half_way() -> bool:
        return any(each.current_file == "model.safetensors" for each in await running(core))

    await eventually(half_way)
    request = model_admin_pb2.CancelPullModelRequest(source="org/model")
    cancelling = asyncio.create_task(_cancel(core, request))
    await asyncio.sleep(0.05)
    hub.hold.set()
    await cancelling
    refused = await watching
    assert (refused.code, refused.reason) == (grpc.StatusCode.CANCELLED, "CANCELLED")
    assert (await refusal(_cancel(core, request))).reason == "PULL_NOT_FOUND"
    hub.hold = None
    assert (await to_the_end(pull(core)))[-1].pull.state == pull_pb2.Pull.STATE_COMPLETED


async def _cancel(core: CoreClient, request: Any) -> None:
    await core.admin.CancelPullModel(request, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("source", "revision", "reason"),
    [
        ("org/nobody", "", "SOURCE_NOT_FOUND"),
        ("org/model", "v9", "SOURCE_NOT_FOUND"),
        ("../org", "", "INVALID_FIELD"),
        ("org/model", "../x", "INVALID_FIELD"),
        ("", "", "INVALID_FIELD"),
    ],
)
async def test_what_cannot_be_pulled(
    core: CoreClient, source: str, revision: str, reason: str
) -> None:
    assert (await refusal(to_the_end(pull(core, source, revision)))).reason == reason


async def test_a_server_that_stops_stops_its_pulls(tmp_path: Path, hub: HubServer) -> None:
    hub.hold = threading.Event()
    options = CoreOptions(home=tmp_path / "home", port=0, hub_endpoint=hub.url)
    async with running_core(options) as core:
        call = pull(core)
        await call.read()
        threading.Timer(0.3, hub.hold.set).start()
    assert not (tmp_path / "home/models/org/model").exists()
