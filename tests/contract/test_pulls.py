"""Downloads over gRPC: progress, clients that leave and come back, cancelling."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sterna.v1 import event_pb2, generation_pb2, model_admin_pb2, model_pb2, pull_pb2
from sterna_service.app import CoreOptions
from sterna_service.models.catalogue import holds_adapter
from tests.support.core import PATIENCE, CoreClient, chat, eventually, refusal, running_core
from tests.support.hub_server import COMMIT, HubServer, hub_server

EMBEDDED = Path(__file__).parents[2] / "service/sterna_service/models/embedded"


PIRATE = Path(__file__).parents[1] / "data/adapters/pirate"
OTHER = Path(__file__).parents[1] / "data/adapters/golden/patterns"
QUESTION = "What is the capital of France?"


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


async def test_the_end_is_told_once(core: CoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(directory: Path) -> bool:
        time.sleep(1)
        return holds_adapter(directory)

    monkeypatch.setattr("sterna_service.models.pulls.holds_adapter", slowly)
    reports = await to_the_end(pull(core))
    ends = [each for each in reports if each.pull.state == pull_pb2.Pull.STATE_COMPLETED]
    assert ends == [reports[-1]]
    assert [each for each in reports if each.HasField("model")] == ends


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


async def stored_adapters(core: CoreClient) -> list[model_pb2.StoredAdapter]:
    request = model_admin_pb2.ListStoredAdaptersRequest()
    return list((await core.admin.ListStoredAdapters(request, timeout=PATIENCE)).adapters)


def load_adapter(core: CoreClient, path: str) -> Any:
    request = model_admin_pb2.LoadAdapterRequest(model_id="tern-nano", path=path)
    return core.admin.LoadAdapter(request, timeout=PATIENCE)


def delete(core: CoreClient, model_id: str) -> Any:
    request = model_admin_pb2.DeleteModelRequest(model_id=model_id)
    return core.admin.DeleteModel(request, timeout=PATIENCE)


async def test_a_pulled_adapter_is_listed_loaded_and_deleted(
    core: CoreClient, hub: HubServer
) -> None:
    hub.repositories["me/pirate"] = PIRATE
    watched: Any = core.admin.WatchEvents(model_admin_pb2.WatchEventsRequest(), timeout=PATIENCE)
    await watched.read()
    last = (await to_the_end(pull(core, "me/pirate")))[-1]
    assert last.pull.state == pull_pb2.Pull.STATE_COMPLETED
    assert not last.HasField("model")
    adapter = last.adapter
    assert (adapter.adapter_id, adapter.revision, adapter.rank) == ("me/pirate", COMMIT, 16)
    assert adapter.base_model == "sterna/tern-nano"
    assert not adapter.problem
    assert await stored_adapters(core) == [adapter]
    models = await core.admin.ListModels(model_admin_pb2.ListModelsRequest(), timeout=PATIENCE)
    assert "me/pirate" not in [each.model_id for each in models.models]

    refused = await refusal(core.generate(chat(QUESTION, model_id="me/pirate")))
    assert (refused.reason, "is an adapter" in refused.message) == ("MODEL_NOT_FOUND", True)
    assert (await load_adapter(core, "pirate")).adapter.adapter_id == "pirate"
    greedy = generation_pb2.SamplingParams(temperature=0.0)
    spec = chat(QUESTION, model_id="tern-nano:pirate", sampling=greedy)
    assert "matey" in (await core.generate(spec)).choices[0].text

    refused = await refusal(delete(core, "me/pirate"))
    assert (refused.reason, refused.metadata["model"]) == ("MODEL_IN_USE", "sterna/tern-nano")
    unload = model_admin_pb2.UnloadAdapterRequest(model_id="tern-nano", adapter_id="pirate")
    await core.admin.UnloadAdapter(unload, timeout=PATIENCE)
    await delete(core, "me/pirate")
    assert await stored_adapters(core) == []
    told = []
    while event_pb2.EVENT_TYPE_ADAPTER_DELETED not in told:
        response = await watched.read()
        if response.event.adapter_id == "me/pirate":
            told.append(response.event.type)
    assert told[0] == event_pb2.EVENT_TYPE_ADAPTER_ADDED


async def test_a_pulled_adapter_of_another_model_is_refused(
    core: CoreClient, hub: HubServer
) -> None:
    hub.repositories["me/other"] = OTHER
    await to_the_end(pull(core, "me/other"))
    refused = await refusal(load_adapter(core, "me/other"))
    assert refused.reason == "ADAPTER_UNSUPPORTED"
    assert "made for another model" in refused.message
    assert "tiny/bitnet-multiply" in refused.message


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
