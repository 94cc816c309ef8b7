"""What the core measures of real calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from sterna.v1 import generation_pb2, inference_pb2, model_admin_pb2
from sterna_service.app import CoreOptions
from tests.support.core import (
    PATIENCE,
    CoreClient,
    chat,
    eventually,
    long_answer,
    refusal,
    running_core,
)
from tests.support.metrics import scrape

MODEL = "sterna/tern-nano"
GENERATE = "sterna.v1.InferenceService/Generate"
CHAT = {"gen_ai_operation_name": "chat", "gen_ai_response_model": MODEL}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def core(sterna_home: Path, registry: CollectorRegistry) -> AsyncIterator[CoreClient]:
    async with running_core(CoreOptions(home=sterna_home, port=0, metrics=registry)) as client:
        yield client


async def test_a_generation_is_counted_with_its_tokens(
    core: CoreClient, registry: CollectorRegistry
) -> None:
    answers = [await core.generate(chat("What is the capital of France?")) for _ in range(2)]
    page = scrape(registry)
    calls = {"rpc_method": GENERATE, "rpc_response_status_code": "OK"}
    assert page.value("rpc_server_call_duration_seconds_count", **calls) == 2
    for name in (
        "gen_ai_server_request_duration_seconds_count",
        "gen_ai_server_time_to_first_token_seconds_count",
        "gen_ai_server_time_per_output_token_seconds_count",
    ):
        assert page.value(name, **CHAT) == 2, name
    used = [answer.usage for answer in answers]
    for kind, total in (
        ("input", sum(each.prompt_token_count for each in used)),
        ("output", sum(each.completion_token_count for each in used)),
        ("cached", sum(each.cached_token_count for each in used)),
    ):
        assert page.value("sterna_tokens_total", **CHAT, gen_ai_token_type=kind) == total
    assert page.value("sterna_queue_duration_seconds_count", model=MODEL) == 2
    assert page.value("sterna_prefill_duration_seconds_count", model=MODEL) == 2
    engine = await core.engine()
    prompt = page.value("sterna_engine_prompt_tokens_total", model=MODEL)
    assert prompt == sum(each.prompt_token_count for each in used)
    blocks = page.value("sterna_kv_cache_blocks", model=MODEL)
    assert blocks == engine.kv_block_count
    steps = page.value("sterna_engine_steps_total", model=MODEL)
    assert 0 < steps <= page.value("sterna_engine_sequence_steps_total", model=MODEL)


async def test_an_error_is_counted_by_status_and_reason(
    core: CoreClient, registry: CollectorRegistry
) -> None:
    sampling = generation_pb2.SamplingParams(temperature=9)
    await refusal(core.generate(chat("Hi", sampling=sampling)))
    await refusal(core.generate(chat("Hi", model_id="no/such-model-" + "x" * 50)))
    calls = "rpc_server_call_duration_seconds_count"

    async def counted() -> bool:
        # A refusal is counted when it has left already.
        return scrape(registry).value(calls) == 2

    await eventually(counted)
    page = scrape(registry)
    assert page.value(calls, rpc_response_status_code="INVALID_ARGUMENT") == 1
    assert page.value(calls, rpc_response_status_code="NOT_FOUND") == 1
    assert page.value("sterna_rpc_errors_total", error_type="MODEL_NOT_FOUND") == 1
    # What a client makes up is no label.
    assert page.labels("gen_ai_server_request_duration_seconds_count", "error_type") == {
        "FIELD_OUT_OF_RANGE"
    }
    assert page.labels("sterna_model_load_duration_seconds_count", "model") == {MODEL}


async def test_a_call_to_no_method_makes_no_series(
    core: CoreClient, registry: CollectorRegistry
) -> None:
    call = core.raw.unary_unary("/sterna.v1.InferenceService/Nonsense")
    with pytest.raises(grpc.aio.AioRpcError):
        await call(b"", timeout=PATIENCE)
    assert not scrape(registry).samples.get("rpc_server_call_duration_seconds_count")


async def test_a_cancelled_stream_is_counted_as_such(
    core: CoreClient, registry: CollectorRegistry
) -> None:
    stream = core.stream(long_answer())
    async for event in stream:
        if event.WhichOneof("event") == "delta":
            break
    page = scrape(registry)
    assert page.value("sterna_engine_running_sequences", model=MODEL) == 1
    assert page.value("sterna_rpc_active_calls") == 1
    stream.cancel()
    cancelled = {"rpc_response_status_code": "CANCELLED"}

    async def counted() -> bool:
        page = scrape(registry)
        return page.value("rpc_server_call_duration_seconds_count", **cancelled) == 1

    await eventually(counted)
    page = scrape(registry)
    assert page.value("gen_ai_server_request_duration_seconds_count", error_type="CANCELLED") == 1
    # Tokens are those of requests that succeeded.
    assert page.value("sterna_tokens_total") == 0
    assert page.value("sterna_engine_generated_tokens_total", model=MODEL) > 0


async def test_embeddings(core: CoreClient, registry: CollectorRegistry) -> None:
    texts = [inference_pb2.EmbedInput(text=text) for text in ("one", "two words")]
    answer = await core.inference.Embed(inference_pb2.EmbedRequest(inputs=texts), timeout=PATIENCE)
    page = scrape(registry)
    labels = {"gen_ai_operation_name": "embeddings", "gen_ai_response_model": MODEL}
    assert page.value("gen_ai_server_request_duration_seconds_count", **labels) == 1
    tokens = page.value("sterna_tokens_total", **labels, gen_ai_token_type="input")
    assert tokens == answer.usage.prompt_token_count


async def test_totals_go_on_when_a_model_is_loaded_anew(
    core: CoreClient, registry: CollectorRegistry
) -> None:
    await core.generate(chat("Hello"))
    before = scrape(registry).value("sterna_engine_generated_tokens_total", model=MODEL)
    request = model_admin_pb2.UnloadModelRequest(model_id=MODEL)
    await core.admin.UnloadModel(request, timeout=PATIENCE)
    page = scrape(registry)
    assert page.value("sterna_engine_generated_tokens_total", model=MODEL) == before
    assert not page.samples.get("sterna_engine_running_sequences")
    await core.generate(chat("Hello"))
    page = scrape(registry)
    assert page.value("sterna_engine_generated_tokens_total", model=MODEL) > before
    loads = {"model": MODEL, "outcome": "loaded"}
    assert page.value("sterna_model_load_duration_seconds_count", **loads) == 2


async def test_what_runs_is_shown(registry: CollectorRegistry, core: CoreClient) -> None:
    page = scrape(registry)
    assert page.value("sterna_memory_limit_bytes") > 0
    assert page.labels("sterna_build_info", "kernels") == {(await core.engine()).kernel}
    assert (page.value("sterna_ready"), page.value("sterna_draining")) == (1, 0)
