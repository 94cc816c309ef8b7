"""What an operator decides for requests that leave it out, and when the model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sterna.v1 import generation_event_pb2, generation_pb2
from sterna_service.app import CoreOptions, start_core
from sterna_service.errors import StartupError
from tests.support.core import chat, running_core

QUESTION = "What is the capital of France?"
LENGTH = generation_event_pb2.FINISH_REASON_LENGTH


def _options(home: Path, **fields: object) -> CoreOptions:
    return CoreOptions(home=home, port=0, **fields)  # type: ignore[arg-type]


async def test_max_tokens_counts_unless_the_request_says_otherwise(sterna_home: Path) -> None:
    async with running_core(_options(sterna_home, default_max_tokens=3)) as core:
        cut = await core.generate(chat(QUESTION))
        assert cut.usage.completion_token_count == 3
        assert cut.choices[0].finish_reason == LENGTH
        stop = generation_pb2.StopCriteria(max_tokens=5)
        longer = await core.generate(chat(QUESTION, stop=stop))
        assert longer.usage.completion_token_count == 5
        least = generation_pb2.StopCriteria(min_tokens=6)
        assert (await core.generate(chat(QUESTION, stop=least))).usage.completion_token_count == 6


async def test_a_default_larger_than_the_context_is_no_error(sterna_home: Path) -> None:
    async with running_core(_options(sterna_home, default_max_tokens=2**31 - 1)) as core:
        answer = await core.generate(chat(QUESTION))
        assert answer.choices[0].text == "The capital of France is Paris."


async def test_temperature_and_top_p(sterna_home: Path) -> None:
    stop = generation_pb2.StopCriteria(max_tokens=24)

    def story(seed: int, **sampling: float) -> generation_pb2.GenerationSpec:
        params = generation_pb2.SamplingParams(seed=seed, **sampling)  # type: ignore[arg-type]
        return chat("Tell me a story.", sampling=params, stop=stop)

    async with running_core(_options(sterna_home, default_temperature=2.0)) as core:
        hot = {(await core.generate(story(seed))).choices[0].text for seed in range(4)}
        cold = {
            (await core.generate(story(seed, temperature=0.0))).choices[0].text for seed in range(4)
        }
    assert len(hot) > 1
    assert len(cold) == 1
    # So little of the probability is left that only the likeliest token can be chosen.
    options = _options(sterna_home, default_temperature=2.0, default_top_p=1e-6)
    async with running_core(options) as core:
        narrow = {(await core.generate(story(seed))).choices[0].text for seed in range(4)}
    assert narrow == cold


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        ("default_max_tokens", -1, "0 or more"),
        ("default_temperature", 2.5, "0 to 2"),
        ("default_top_p", 0.0, "above 0"),
    ],
)
async def test_a_default_out_of_range_keeps_the_core_from_starting(
    sterna_home: Path, field: str, value: float, limit: str
) -> None:
    with pytest.raises(StartupError, match=f"{field}.*{limit}"):
        await start_core(_options(sterna_home, **{field: value}))


async def test_without_preload_the_first_request_loads_the_model(sterna_home: Path) -> None:
    async with running_core(_options(sterna_home, preload=False)) as core:
        assert not (await core.status()).engines
        health = health_pb2_grpc.HealthStub(core.channel)
        request = health_pb2.HealthCheckRequest(service="sterna.v1.InferenceService")
        assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
        answer = await core.generate(chat(QUESTION))
        assert answer.choices[0].text == "The capital of France is Paris."
        assert len((await core.status()).engines) == 1
