"""Models come and go: loaded on demand, swapped under load, unloaded, deleted, watched."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2

from sterna.v1 import event_pb2, model_admin_pb2, model_pb2
from sterna_service.app import CoreOptions
from sterna_service.models.catalogue import EMBEDDED_MODEL_ID
from tests.support.core import (
    PATIENCE,
    CoreClient,
    chat,
    eventually,
    long_answer,
    refusal,
    running_core,
)
from tests.support.gguf_writer import gguf_of, i2_s, write_gguf

EMBEDDED = Path(__file__).parents[2] / "service/sterna_service/models/embedded"
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


def store(home: Path, *model_ids: str) -> None:
    for model_id in model_ids:
        shutil.copytree(EMBEDDED, home / "models" / model_id)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    store(tmp_path, "org/one", "org/two")
    return tmp_path


@pytest.fixture
async def core(home: Path) -> AsyncIterator[CoreClient]:
    async with running_core(CoreOptions(home=home, port=0)) as client:
        yield client


async def load(core: CoreClient, model_id: str, **fields: Any) -> Any:
    request = model_admin_pb2.LoadModelRequest(model_id=model_id, **fields)
    return await core.admin.LoadModel(request, timeout=PATIENCE)


async def unload(core: CoreClient, model_id: str, **fields: Any) -> Any:
    request = model_admin_pb2.UnloadModelRequest(model_id=model_id, **fields)
    return await core.admin.UnloadModel(request, timeout=PATIENCE)


async def states(core: CoreClient) -> dict[str, int]:
    answer = await core.admin.ListModels(model_admin_pb2.ListModelsRequest(), timeout=PATIENCE)
    return {model.model_id: model.state for model in answer.models}


async def ask(core: CoreClient, model_id: str) -> str:
    return (await core.generate(chat(QUESTION, model_id=model_id))).choices[0].text


async def test_a_model_is_loaded_when_it_is_asked(core: CoreClient) -> None:
    assert (await states(core))["org/one"] == model_pb2.MODEL_STATE_UNLOADED
    answers = await asyncio.gather(*(ask(core, "one") for _ in range(4)), ask(core, "org/two"))
    assert answers == [ANSWER] * 5
    assert set((await states(core)).values()) == {model_pb2.MODEL_STATE_LOADED}


async def test_without_autoload_it_is_not(home: Path) -> None:
    async with running_core(CoreOptions(home=home, port=0, autoload=False)) as core:
        refused = await refusal(ask(core, "org/one"))
        assert refused.reason == "MODEL_NOT_LOADED"
        loaded = await load(core, "org/one")
        assert (loaded.recompiled, loaded.already_loaded) == (True, False)
        assert loaded.model.state == model_pb2.MODEL_STATE_LOADED
        assert await ask(core, "org/one") == ANSWER
        again = await load(core, "one")
        assert (again.recompiled, again.already_loaded) == (False, True)


async def test_a_swap_does_not_touch_running_streams(core: CoreClient) -> None:
    await load(core, "org/one", thread_count=1)
    expected = [await collect(core, seed) for seed in range(8)]
    running = [asyncio.create_task(collect(core, seed)) for seed in range(8)]

    async def all_run() -> bool:
        return any(each.running_count == 8 for each in (await core.status()).engines)

    await eventually(all_run)
    swapped = await load(core, "org/one", thread_count=2)
    assert (swapped.recompiled, swapped.already_loaded) == (False, False)
    assert await ask(core, "org/one") == ANSWER
    assert await asyncio.gather(*running) == expected


async def collect(core: CoreClient, seed: int) -> str:
    spec = long_answer(300, model_id="org/one")
    spec.sampling.temperature = 1.0
    spec.sampling.seed = seed
    return "".join([response.delta.text async for response in core.stream(spec)])


async def test_a_failed_swap_changes_nothing(core: CoreClient, home: Path) -> None:
    await load(core, "org/one", thread_count=1)
    config = home / "models/org/one/config.json"
    whole = config.read_text()
    config.write_text(json.dumps({**json.loads(whole), "num_hidden_layers": 40}))
    refused = await refusal(load(core, "org/one", thread_count=2))
    assert refused.reason == "CHECKPOINT_INVALID"
    assert refused.metadata["model"] == "org/one"
    assert await ask(core, "org/one") == ANSWER
    assert (await states(core))["org/one"] == model_pb2.MODEL_STATE_LOADED
    config.write_text(whole)
    assert not (await load(core, "org/one", thread_count=2)).already_loaded


async def test_two_changes_of_one_model_at_once(core: CoreClient) -> None:
    first = asyncio.create_task(load(core, "org/one"))
    outcomes = await asyncio.gather(
        first, *(load(core, "org/one") for _ in range(3)), return_exceptions=True
    )
    refused = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
    assert all(each.code() is grpc.StatusCode.ABORTED for each in refused)
    assert len(refused) < len(outcomes)
    assert await ask(core, "org/one") == ANSWER


async def test_an_unload_waits_for_its_streams(core: CoreClient) -> None:
    await load(core, "org/one")
    stream = asyncio.create_task(collect(core, 1))

    async def runs() -> bool:
        return any(each.running_count for each in (await core.status()).engines)

    await eventually(runs)
    unloaded = await unload(core, "org/one")
    assert unloaded.model.state == model_pb2.MODEL_STATE_UNLOADED
    assert stream.done() or await stream
    assert len(await stream) > 100


async def test_an_unload_that_does_not_wait(home: Path) -> None:
    async with running_core(CoreOptions(home=home, port=0, autoload=False)) as core:
        await load(core, "org/one")
        call = core.stream(long_answer(900, model_id="org/one"))
        await call.read()
        await unload(core, "org/one", drain_timeout=duration_pb2.Duration())
        refused = await refusal(_to_the_end(call))
        assert refused.reason == "SERVER_DRAINING"
        assert "org/one" in refused.message
        assert (await refusal(ask(core, "org/one"))).reason == "MODEL_NOT_LOADED"
        # Without effect, but no error either.
        await unload(core, "org/one")


async def _to_the_end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_an_idle_model_leaves(core: CoreClient) -> None:
    await load(core, "org/one", keep_alive=duration_pb2.Duration(nanos=50_000_000))

    async def gone() -> bool:
        return (await states(core))["org/one"] == model_pb2.MODEL_STATE_UNLOADED

    await eventually(gone)
    assert await ask(core, "org/one") == ANSWER


async def test_a_request_says_how_long_its_model_stays(core: CoreClient) -> None:
    spec = chat(QUESTION, model_id="org/one", keep_alive=duration_pb2.Duration())
    assert (await core.generate(spec)).choices[0].text == ANSWER

    async def gone() -> bool:
        return (await states(core))["org/one"] == model_pb2.MODEL_STATE_UNLOADED

    await eventually(gone)


async def test_requests_wait_for_an_idle_model_that_is_just_leaving(core: CoreClient) -> None:
    async def client() -> list[str]:
        spec = chat(QUESTION, model_id="org/one", keep_alive=duration_pb2.Duration())
        return [(await core.generate(spec)).choices[0].text for _ in range(15)]

    for answers in await asyncio.gather(client(), client()):
        assert answers == [ANSWER] * 15


async def test_a_model_that_stays_for_no_time_answers_who_waited_for_it(core: CoreClient) -> None:
    await load(core, "org/one", keep_alive=duration_pb2.Duration())

    async def gone() -> bool:
        return (await states(core))["org/one"] == model_pb2.MODEL_STATE_UNLOADED

    await eventually(gone)
    answers = await asyncio.gather(*(ask(core, "org/one") for _ in range(3)))
    assert answers == [ANSWER] * 3
    await eventually(gone)


async def test_who_waits_for_a_model_is_told_that_the_server_stops(home: Path) -> None:
    async with running_core(CoreOptions(home=home, port=0)) as core:
        asking = [asyncio.create_task(ask(core, "org/one")) for _ in range(3)]

        async def loads() -> bool:
            return (await states(core))["org/one"] != model_pb2.MODEL_STATE_UNLOADED

        await eventually(loads)
        stopping = asyncio.create_task(core.core.stop(grace_seconds=0.0))
        for each in asking:
            assert (await refusal(each)).reason == "SERVER_DRAINING"
        await stopping


async def test_a_pinned_model_stays(core: CoreClient) -> None:
    await load(core, "org/one", keep_alive=duration_pb2.Duration(nanos=50_000_000), pinned=True)
    await asyncio.sleep(0.3)
    assert (await states(core))["org/one"] == model_pb2.MODEL_STATE_LOADED


async def test_the_least_recently_used_model_makes_room(home: Path) -> None:
    size = (EMBEDDED / "model.safetensors").stat().st_size
    # Room for the default model and one and a half more.
    options = CoreOptions(home=home, port=0, model_memory_bytes=int(size * 2.5))
    async with running_core(options) as core:
        await load(core, EMBEDDED_MODEL_ID, pinned=True)
        assert await ask(core, "org/one") == ANSWER
        assert await ask(core, "org/two") == ANSWER
        now = await states(core)
        assert now["org/one"] == model_pb2.MODEL_STATE_UNLOADED
        assert now["org/two"] == model_pb2.MODEL_STATE_LOADED
        await load(core, "org/two", pinned=True)
        refused = await refusal(ask(core, "org/one"))
        assert refused.reason == "OUT_OF_MEMORY"
        # Headers of files and what is packed tighter do not count.
        assert int(refused.metadata["needed_bytes"]) >= 0.95 * size


async def test_another_default(core: CoreClient) -> None:
    await load(core, "org/two", make_default=True)
    assert (await core.generate(chat(QUESTION))).model_id == "org/two"


@pytest.mark.parametrize("path", ["../../etc", "/etc/passwd", "org/../../.."])
async def test_a_path_out_of_the_store(core: CoreClient, path: str) -> None:
    refused = await refusal(load(core, path))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "PATH_FORBIDDEN",
    )


async def test_a_path_in_the_store(core: CoreClient, home: Path) -> None:
    loaded = await load(core, str(home / "models/org/one"))
    assert loaded.model.model_id == "org/one"
    outside = home / "outside"
    shutil.copytree(EMBEDDED, outside)
    (home / "models/org/link").symlink_to(outside)
    assert (await refusal(load(core, "org/link"))).reason == "PATH_FORBIDDEN"


@pytest.mark.parametrize("name", ["org/three", "nobody", "org/one\0", "x" * 300])
async def test_no_such_model(core: CoreClient, name: str) -> None:
    assert (await refusal(load(core, name))).reason == "MODEL_NOT_FOUND"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"thread_count": -1}, "thread_count"),
        ({"thread_count": 1025}, "thread_count"),
        ({"drain_timeout": duration_pb2.Duration(seconds=-1)}, "drain_timeout"),
        ({"drain_timeout": duration_pb2.Duration(seconds=3601)}, "drain_timeout"),
        ({"keep_alive": duration_pb2.Duration(seconds=10**15)}, "keep_alive"),
    ],
)
async def test_bad_settings(core: CoreClient, fields: dict[str, Any], field: str) -> None:
    refused = await refusal(load(core, "org/one", **fields))
    assert (refused.reason, refused.fields) == ("FIELD_OUT_OF_RANGE", [field])


async def test_a_model_is_deleted(core: CoreClient, home: Path) -> None:
    def request(model_id: str) -> Any:
        return core.admin.DeleteModel(
            model_admin_pb2.DeleteModelRequest(model_id=model_id), timeout=PATIENCE
        )

    await load(core, "org/one")
    assert (await refusal(request("org/one"))).reason == "MODEL_IN_USE"
    await unload(core, "org/one")
    assert list((home / "bundles").glob("org--one-*.safetensors"))
    await request("org/one")
    assert not (home / "models/org/one").exists()
    assert not list((home / "bundles").glob("org--one-*.safetensors"))
    assert (home / "models/org/two/config.json").is_file()
    assert (await refusal(request("org/one"))).reason == "MODEL_NOT_FOUND"
    # An alias, or the end of an id, is not enough for this.
    assert (await refusal(request("two"))).reason == "MODEL_NOT_FOUND"
    assert (await refusal(request(EMBEDDED_MODEL_ID))).reason == "MODEL_IN_USE"


def watch(core: CoreClient, request: model_admin_pb2.WatchEventsRequest | None = None) -> Any:
    request = request or model_admin_pb2.WatchEventsRequest()
    return core.admin.WatchEvents(request, timeout=PATIENCE)


async def test_a_gguf_file_answers_alike(tmp_path: Path) -> None:
    path = tmp_path / "models/org/packed/tern.gguf"
    path.parent.mkdir(parents=True)
    write_gguf(path, *gguf_of(EMBEDDED, i2_s))
    async with running_core(CoreOptions(home=tmp_path, port=0)) as core:
        for seed in range(3):
            spec = chat("Tell me a story.", model_id="packed", stop={"max_tokens": 40})
            spec.sampling.temperature = 1.0
            spec.sampling.seed = seed
            packed = await core.generate(spec)
            assert packed.model_id == "org/packed"
            spec.model_id = EMBEDDED_MODEL_ID
            assert packed.choices[0].text == (await core.generate(spec)).choices[0].text
        await unload(core, "org/packed")
        await core.admin.DeleteModel(
            model_admin_pb2.DeleteModelRequest(model_id="org/packed"), timeout=PATIENCE
        )
    assert not list((tmp_path / "converted").glob("tern-*"))


async def test_events_are_watched_and_resumed(core: CoreClient, home: Path) -> None:
    watching = watch(core)
    first = await watching.read()
    assert first.HasField("heartbeat")
    await load(core, "org/one")
    await unload(core, "org/one")
    started, stopped = (await watching.read()).event, (await watching.read()).event
    assert (started.type, started.model_id) == (event_pb2.EVENT_TYPE_MODEL_STARTED, "org/one")
    assert (stopped.type, stopped.model_id) == (event_pb2.EVENT_TYPE_MODEL_STOPPED, "org/one")
    assert [started.revision, stopped.revision] == [
        first.heartbeat.revision + 1,
        first.heartbeat.revision + 2,
    ]
    watching.cancel()
    # Whoever comes back hears what it has missed, and only what it wants.
    (home / "models/org/two/config.json").write_text("{}")
    await refusal(load(core, "org/two"))
    request = model_admin_pb2.WatchEventsRequest(
        after_revision=started.revision, types=[event_pb2.EVENT_TYPE_MODEL_FAILED]
    )
    resumed = watch(core, request)
    assert (await resumed.read()).HasField("heartbeat")
    failed = (await resumed.read()).event
    assert (failed.type, failed.model_id) == (event_pb2.EVENT_TYPE_MODEL_FAILED, "org/two")
    assert failed.reason
    assert failed.message
    request = model_admin_pb2.WatchEventsRequest(after_revision=1)
    refused = await refusal(_to_the_end(watch(core, request)))
    assert refused.reason == "REVISION_COMPACTED"
    assert "oldest_revision" in refused.metadata


async def test_a_watcher_hears_that_the_server_stops(home: Path) -> None:
    async with running_core(CoreOptions(home=home, port=0)) as core:
        watching = watch(core)
        await watching.read()
        stopping = asyncio.create_task(core.core.stop(grace_seconds=PATIENCE))
        last = (await watching.read()).event
        assert last.type == event_pb2.EVENT_TYPE_SERVER_DRAINING
        assert await watching.read() is grpc.aio.EOF
        await stopping


async def test_the_output_head_can_be_rounded(core: CoreClient) -> None:
    sizes = {}
    for name in ("INT8", "Q8_0", "Q6_K", "Q5_0", "Q4_0", "BF16"):
        precision = model_pb2.WeightPrecision.Value(f"WEIGHT_PRECISION_{name}")
        answer = await load(core, "org/one", head_precision=precision)
        assert answer.recompiled
        assert not answer.already_loaded
        assert answer.model.head_precision == precision
        sizes[name] = answer.model.memory_bytes
        said = await core.generate(chat(QUESTION, model_id="org/one"))
        assert said.choices[0].text
        again = await load(core, "org/one", head_precision=precision)
        assert (again.recompiled, again.already_loaded) == (False, True)
    assert said.choices[0].text == ANSWER
    assert sizes["Q4_0"] < sizes["Q5_0"] < sizes["INT8"] < sizes["Q8_0"]
    # What was packed once is there when it is asked for again.
    back = await load(core, "org/one", head_precision=model_pb2.WEIGHT_PRECISION_INT8)
    assert (back.recompiled, back.already_loaded) == (False, False)
    refused = await refusal(load(core, "org/one", head_precision=model_pb2.WEIGHT_PRECISION_NONE))
    assert refused.fields == ["head_precision"]
    assert "must be BF16, INT8, Q8_0, Q6_K, Q5_0 or Q4_0" in refused.message
