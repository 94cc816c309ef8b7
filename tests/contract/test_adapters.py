"""LoRA adapters over gRPC: loaded, chosen by requests, swapped and unloaded while others answer."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sterna.v1 import event_pb2, generation_pb2, inference_pb2, model_admin_pb2, model_pb2
from sterna_service.app import CoreOptions
from sterna_service.errors import StartupError
from tests.support.core import PATIENCE, CoreClient, chat, refusal, running_core

PIRATE = Path(__file__).parents[1] / "data" / "adapters" / "pirate"
EMBEDDED = Path(__file__).parents[2] / "service/sterna_service/models/embedded"
OTHER = Path(__file__).parents[1] / "data" / "adapters" / "golden" / "patterns"
NANO = "sterna/tern-nano"
QUESTION = "What is the capital of France?"
GREEDY = generation_pb2.SamplingParams(temperature=0.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    store = tmp_path / "models" / "someone"
    shutil.copytree(PIRATE, store / "pirate")
    shutil.copytree(OTHER, store / "other")
    return tmp_path


@pytest.fixture
async def core(home: Path) -> AsyncIterator[CoreClient]:
    options = CoreOptions(home=home, port=0, threads=2, max_batch=8)
    async with running_core(options) as client:
        yield client


def load(core: CoreClient, path: str = "someone/pirate", **fields: Any) -> Any:
    request = model_admin_pb2.LoadAdapterRequest(model_id=NANO, path=path, **fields)
    return core.admin.LoadAdapter(request, timeout=PATIENCE)


def unload(core: CoreClient, adapter_id: str = "pirate") -> Any:
    request = model_admin_pb2.UnloadAdapterRequest(model_id=NANO, adapter_id=adapter_id)
    return core.admin.UnloadAdapter(request, timeout=PATIENCE)


async def listed(core: CoreClient) -> list[model_pb2.Adapter]:
    request = model_admin_pb2.ListAdaptersRequest(model_id="tern-nano")
    return list((await core.admin.ListAdapters(request, timeout=PATIENCE)).adapters)


async def model(core: CoreClient) -> model_pb2.Model:
    request = model_admin_pb2.GetModelRequest(model_id=NANO)
    return (await core.admin.GetModel(request, timeout=PATIENCE)).model


async def answer(core: CoreClient, question: str = QUESTION, **fields: Any) -> str:
    response = await core.generate(chat(question, sampling=GREEDY, **fields))
    return response.choices[0].text


async def test_an_adapter_answers_beside_the_model(core: CoreClient) -> None:
    plain = await answer(core)
    adapter = (await load(core)).adapter
    assert adapter.adapter_id == "pirate"
    assert adapter.model_id == NANO
    assert adapter.state == model_pb2.MODEL_STATE_LOADED
    assert (adapter.rank, adapter.precision) == (16, model_pb2.WEIGHT_PRECISION_NONE)
    assert adapter.memory_bytes > 400_000
    questions = [QUESTION, "Who are you?", "What is the symbol of gold?"]
    expected = {}
    for name in ("", "pirate"):
        for question in questions:
            expected[name, question] = await answer(core, question, adapter_id=name)
    assert expected["", QUESTION] == plain == await answer(core)
    assert "matey" in expected["pirate", QUESTION]
    assert "Paris" in expected["pirate", QUESTION]
    # All at once, in one batch: each as alone.
    pairs = [pair for pair in expected for _ in range(2)]
    names = {"": "tern-nano", "pirate": "tern-nano:pirate"}
    answers = await asyncio.gather(
        *(answer(core, question, model_id=names[name]) for name, question in pairs)
    )
    assert answers == [expected[pair] for pair in pairs]


async def test_answers_say_which_adapter_gave_them(core: CoreClient) -> None:
    await load(core)
    response = await core.generate(chat(QUESTION, model_id=f"{NANO}:pirate"))
    assert (response.model_id, response.adapter_id) == (NANO, "pirate")
    stream = core.stream(chat(QUESTION, adapter_id="pirate"))
    first, *_ = [event async for event in stream]
    assert (first.started.model_id, first.started.adapter_id) == (NANO, "pirate")
    assert (await core.generate(chat(QUESTION))).adapter_id == ""


async def test_an_adapter_leaves_a_model_that_is_not_loaded(home: Path) -> None:
    options = CoreOptions(
        home=home, port=0, threads=1, preload=False, adapters={"pirate": "someone/pirate"}
    )
    async with running_core(options) as core:
        assert [each.adapter_id for each in await listed(core)] == ["pirate"]
        await unload(core)
        assert await listed(core) == []
        assert await answer(core)
        assert await listed(core) == []
        assert (await refusal(unload(core))).reason == "ADAPTER_NOT_FOUND"


async def test_what_was_loaded_over_the_protocol_ends_with_the_server(home: Path) -> None:
    """Models and adapters alike: a server starts with what its settings name."""
    shutil.copytree(EMBEDDED, home / "models" / "someone" / "model")
    request = model_admin_pb2.LoadModelRequest(model_id="someone/model", make_default=True)
    async with running_core(CoreOptions(home=home, port=0, threads=1)) as core:
        await load(core)
        await core.admin.LoadModel(request, timeout=PATIENCE)
        assert [each.adapter_id for each in await listed(core)] == ["pirate"]
    options = CoreOptions(home=home, port=0, threads=1, adapters={"given": "someone/pirate"})
    async with running_core(options) as core:
        assert [each.adapter_id for each in await listed(core)] == ["given"]
        models = model_admin_pb2.ListModelsRequest(state=model_pb2.MODEL_STATE_LOADED)
        loaded = (await core.admin.ListModels(models, timeout=PATIENCE)).models
        assert [(each.model_id, each.default_model) for each in loaded] == [(NANO, True)]
        # What lies in the store is still there, and comes for the first request.
        assert (await core.generate(chat(QUESTION, model_id="someone/model"))).choices


async def test_the_prefix_cache_is_not_shared(core: CoreClient) -> None:
    await load(core)
    long = "Tell me all that you know about " + "the sea and " * 30
    for name, cached in (("", False), ("pirate", False), ("", True), ("pirate", True)):
        response = await core.generate(chat(long, adapter_id=name))
        assert (response.usage.cached_token_count > 0) == cached


async def test_models_list_their_adapters(core: CoreClient) -> None:
    assert await listed(core) == []
    before = (await model(core)).memory_bytes
    await load(core, adapter_id="b", precision=model_pb2.WEIGHT_PRECISION_INT8)
    await load(core, adapter_id="a")
    adapters = await listed(core)
    assert [adapter.adapter_id for adapter in adapters] == ["a", "b"]
    assert adapters[1].memory_bytes < adapters[0].memory_bytes / 3
    described = await model(core)
    assert list(described.adapters) == adapters
    taken = sum(adapter.memory_bytes for adapter in adapters)
    assert described.memory_bytes == before + taken
    request = model_admin_pb2.ListAdaptersRequest(model_id=NANO, page_size=1)
    page = await core.admin.ListAdapters(request, timeout=PATIENCE)
    assert [adapter.adapter_id for adapter in page.adapters] == ["a"]
    request.page_token = page.next_page_token
    page = await core.admin.ListAdapters(request, timeout=PATIENCE)
    assert [adapter.adapter_id for adapter in page.adapters] == ["b"]
    assert not page.next_page_token
    await unload(core, "a")
    await unload(core, "b")
    assert (await model(core)).memory_bytes == before


async def test_adapters_that_are_loaded_at_the_same_time_all_stay(core: CoreClient) -> None:
    await asyncio.gather(*(load(core, adapter_id=name) for name in "abcd"))
    assert [adapter.adapter_id for adapter in await listed(core)] == list("abcd")
    await asyncio.gather(*(unload(core, name) for name in "abc"), load(core, adapter_id="e"))
    assert [adapter.adapter_id for adapter in await listed(core)] == ["d", "e"]


async def test_running_requests_finish_with_an_adapter_that_leaves(core: CoreClient) -> None:
    await load(core)
    spec = chat(QUESTION, sampling=GREEDY, adapter_id="pirate")
    expected = await answer(core, adapter_id="pirate")
    stream = core.stream(spec)
    events: list[inference_pb2.StreamGenerateResponse] = []
    async for event in stream:
        if not events:
            await unload(core)
        events.append(event)
    text = "".join(event.delta.text for event in events if event.HasField("delta"))
    assert text == expected
    refused = await refusal(core.generate(spec))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "ADAPTER_NOT_FOUND")
    assert refused.metadata["adapter"] == "pirate"
    assert (await refusal(unload(core))).reason == "ADAPTER_NOT_FOUND"


async def test_an_adapter_that_is_loaded_again_is_read_again(core: CoreClient, home: Path) -> None:
    await load(core)
    first = await answer(core, adapter_id="pirate")
    config = home / "models" / "someone" / "pirate" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"lora_alpha": 1e-9}))
    assert await answer(core, adapter_id="pirate") == first
    await load(core)
    assert await answer(core, adapter_id="pirate") == await answer(core)


async def test_watchers_hear_of_adapters(core: CoreClient) -> None:
    log: Any = core.admin.WatchEvents(
        model_admin_pb2.WatchEventsRequest(
            types=[
                event_pb2.EVENT_TYPE_ADAPTER_LOADED,
                event_pb2.EVENT_TYPE_ADAPTER_UNLOADED,
            ]
        )
    )
    await log.read()
    await load(core)
    await unload(core)
    for kind in (event_pb2.EVENT_TYPE_ADAPTER_LOADED, event_pb2.EVENT_TYPE_ADAPTER_UNLOADED):
        event = (await asyncio.wait_for(log.read(), PATIENCE)).event
        assert (event.type, event.model_id, event.adapter_id) == (kind, NANO, "pirate")
    log.cancel()


async def test_paths_out_of_the_store_are_forbidden(core: CoreClient, home: Path) -> None:
    store = home / "models" / "someone"
    outside = home / "outside"
    shutil.copytree(PIRATE, outside)
    (store / "link").symlink_to(outside)
    half = store / "half"
    shutil.copytree(PIRATE, half)
    (half / "adapter_model.safetensors").unlink()
    (half / "adapter_model.safetensors").symlink_to(outside / "adapter_model.safetensors")
    for path in (str(outside), "../outside", "someone/link", "someone/half", "/etc", ".."):
        refused = await refusal(load(core, path))
        assert refused.code == grpc.StatusCode.PERMISSION_DENIED, path
        assert refused.reason == "PATH_FORBIDDEN"
    for path in ("someone/none", "someone", "x\0y", "x" * 5000):
        assert (await refusal(load(core, path))).reason == "ADAPTER_NOT_FOUND", path[:20]
    # An absolute path of the store is as good as a relative one.
    await load(core, str(store / "pirate"))


async def test_adapters_that_do_not_fit_are_refused_by_name(core: CoreClient, home: Path) -> None:
    refused = await refusal(load(core, "someone/other"))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ADAPTER_UNSUPPORTED",
    )
    assert refused.metadata["adapter"] == "other"
    assert refused.metadata["tensor"].startswith("base_model.model.model.layers.0.")
    assert "made for another model" in refused.message
    config = home / "models" / "someone" / "pirate" / "adapter_config.json"
    text = json.loads(config.read_text())
    config.write_text(json.dumps(text | {"use_dora": True}))
    refused = await refusal(load(core))
    assert refused.reason == "ADAPTER_UNSUPPORTED"
    assert "DoRA" in refused.message
    assert refused.metadata["field"] == "use_dora"
    config.write_text("{")
    assert (await refusal(load(core))).reason == "CHECKPOINT_INVALID"
    assert await listed(core) == []


async def test_requests_that_make_no_sense(core: CoreClient) -> None:
    for fields in (
        {"adapter_id": "a:b"},
        {"adapter_id": "x" * 65},
        {"adapter_id": ".hidden"},
        {"adapter_id": "none"},
        {"precision": model_pb2.WEIGHT_PRECISION_Q6_K},
    ):
        assert (await refusal(load(core, **fields))).reason == "INVALID_FIELD", fields
    request = model_admin_pb2.LoadAdapterRequest(model_id="no/model", path="someone/pirate")
    refused = await refusal(core.admin.LoadAdapter(request, timeout=PATIENCE))
    assert refused.reason == "MODEL_NOT_FOUND"
    await load(core)
    refused = await refusal(core.generate(chat("Hi", model_id=f"{NANO}:pirate", adapter_id="x")))
    assert refused.reason == "INVALID_FIELD"
    unload_model = model_admin_pb2.UnloadModelRequest(model_id=NANO)
    await core.admin.UnloadModel(unload_model, timeout=PATIENCE)
    assert (await refusal(load(core))).reason == "MODEL_NOT_LOADED"


async def test_a_model_is_loaded_with_an_adapter(core: CoreClient) -> None:
    plain = await answer(core)
    with_adapter = model_admin_pb2.LoadModelRequest(
        model_id=NANO,
        adapter_path="someone/pirate",
        adapter_precision=model_pb2.WEIGHT_PRECISION_BF16,
    )
    loaded = (await core.admin.LoadModel(with_adapter, timeout=PATIENCE)).model
    assert loaded.default_adapter_id == "pirate"
    assert loaded.adapters[0].precision == model_pb2.WEIGHT_PRECISION_BF16
    assert "matey" in await answer(core)
    assert await answer(core, adapter_id="none") == plain
    # The same, without the adapter, after a new engine and after an autoload.
    threads = model_admin_pb2.LoadModelRequest(model_id=NANO, thread_count=1, keep_adapter=True)
    await core.admin.LoadModel(threads, timeout=PATIENCE)
    assert "matey" in await answer(core)
    unload_model = model_admin_pb2.UnloadModelRequest(model_id=NANO)
    gone = (await core.admin.UnloadModel(unload_model, timeout=PATIENCE)).model
    assert gone.adapters[0].state == model_pb2.MODEL_STATE_UNLOADED
    assert "matey" in await answer(core)
    bare = model_admin_pb2.LoadModelRequest(model_id=NANO)
    assert not (await core.admin.LoadModel(bare, timeout=PATIENCE)).model.adapters
    assert await answer(core) == plain


async def test_a_swap_to_a_bad_adapter_changes_nothing(core: CoreClient) -> None:
    await load(core)
    before = await model(core)
    request = model_admin_pb2.LoadModelRequest(
        model_id=NANO, adapter_path="someone/other", thread_count=1
    )
    assert (await refusal(core.admin.LoadModel(request, timeout=PATIENCE))).reason == (
        "ADAPTER_UNSUPPORTED"
    )
    after = await model(core)
    assert (after.adapters, after.load_time) == (before.adapters, before.load_time)
    assert "matey" in await answer(core, adapter_id="pirate")


async def test_sessions_keep_their_adapter(core: CoreClient) -> None:
    await load(core)
    request = inference_pb2.CreateSessionRequest(model_id="tern-nano:pirate")
    session = (await core.inference.CreateSession(request, timeout=PATIENCE)).session
    for question in (QUESTION, "Who are you?"):
        spec = chat(question, sampling=GREEDY, session_id=session.session_id)
        response = await core.generate(spec)
        assert response.adapter_id == "pirate"
        assert "matey" in response.choices[0].text


async def test_adapters_at_the_start(home: Path) -> None:
    options = CoreOptions(
        home=home,
        port=0,
        threads=2,
        adapters={"pirate": "someone/pirate", "own": str(PIRATE)},
        default_adapter="own",
        adapter_precision="q8_0",
        preload=False,
    )
    async with running_core(options) as core:
        assert "matey" in await answer(core)
        assert [adapter.adapter_id for adapter in await listed(core)] == ["own", "pirate"]
        assert "matey" not in await answer(core, adapter_id="none")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"adapters": {"x": "no/where"}}, "adapter_config.json"),
        ({"adapters": {"a:b": "someone/pirate"}}, "adapters: 'a:b'"),
        ({"adapters": {"x": "someone/other"}}, "made for another model"),
        ({"default_adapter": "x"}, "default_adapter"),
        ({"adapter_precision": "q6_k"}, "adapter_precision"),
    ],
)
async def test_adapters_that_keep_a_server_from_starting(
    home: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        async with running_core(CoreOptions(home=home, port=0, threads=1, **fields)):
            pass


async def test_memory_for_adapters_is_limited(home: Path) -> None:
    # Room for the model, but for no adapter.
    async with running_core(CoreOptions(home=home, port=0, threads=1)) as core:
        weights = (await model(core)).memory_bytes
    options = CoreOptions(home=home, port=0, threads=1, model_memory_bytes=weights + 300_000)
    async with running_core(options) as core:
        refused = await refusal(load(core))
        assert refused.reason == "OUT_OF_MEMORY"
        assert await listed(core) == []
        await load(core, precision=model_pb2.WEIGHT_PRECISION_INT8)


async def test_vectors_are_made_with_the_adapter_that_is_named(core: CoreClient) -> None:
    await load(core)

    async def vector(name: str) -> list[float]:
        request = inference_pb2.EmbedRequest(
            model_id=name, inputs=[inference_pb2.EmbedInput(text=QUESTION)]
        )
        response = await core.inference.Embed(request, timeout=PATIENCE)
        return list(response.embeddings[0].values)

    plain = await vector("tern-nano")
    assert await vector("tern-nano:pirate") != plain
    assert await vector("tern-nano:none") == plain
