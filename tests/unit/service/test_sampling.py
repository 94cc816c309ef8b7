"""Sampling values: every limit of the protocol, and the defaults of a model."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sterna_service.errors import ModelLoadError, Reason, ServiceError
from sterna_service.inference.sampling import (
    SamplingDefaults,
    check_stop,
    defaults_from,
    resolve_sampling,
)
from sterna_service.inference.spec import SamplingParams, StopCriteria

BAD_NUMBERS = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("temperature", [0.0, 2.0], [-0.001, 2.001, *BAD_NUMBERS]),
        ("top_p", [0.001, 1.0], [0.0, -1.0, 1.001, *BAD_NUMBERS]),
        ("min_p", [0.0, 1.0], [-0.001, 1.001, *BAD_NUMBERS]),
        ("repetition_penalty", [0.01, 10.0], [0.0, -1.0, 10.01, *BAD_NUMBERS]),
        ("frequency_penalty", [-2.0, 2.0], [-2.01, 2.01, *BAD_NUMBERS]),
        ("presence_penalty", [-2.0, 2.0], [-2.01, 2.01, *BAD_NUMBERS]),
        ("top_k", [0, 100], [-1, 101, 2**31 - 1]),
    ],
)
def test_limits(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        params = SamplingParams(**{name: value})
        sampling = resolve_sampling(params, SamplingDefaults(), 100, "spec.sampling")
        assert getattr(sampling, name) == value
    for value in bad:
        params = SamplingParams(**{name: value})
        with pytest.raises(ServiceError) as caught:
            resolve_sampling(params, SamplingDefaults(), 100, "spec.sampling")
        assert caught.value.reason is Reason.FIELD_OUT_OF_RANGE
        assert caught.value.field == f"spec.sampling.{name}"
        assert caught.value.metadata["limit"] in caught.value.message


@pytest.mark.parametrize(
    ("bias", "field"),
    [
        ({100: 1.0}, "spec.sampling.logit_bias"),
        ({-1: 1.0}, "spec.sampling.logit_bias"),
        ({7: 100.5}, "spec.sampling.logit_bias[7]"),
        ({7: math.nan}, "spec.sampling.logit_bias[7]"),
        (dict.fromkeys(range(1025), 0.0), "spec.sampling.logit_bias"),
    ],
)
def test_logit_bias_limits(bias: dict[int, float], field: str) -> None:
    with pytest.raises(ServiceError) as caught:
        resolve_sampling(SamplingParams(logit_bias=bias), SamplingDefaults(), 100, "spec.sampling")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("stop", "field"),
    [
        (StopCriteria(max_tokens=0), "max_tokens"),
        (StopCriteria(max_tokens=-5), "max_tokens"),
        (StopCriteria(min_tokens=-1), "min_tokens"),
        (StopCriteria(max_tokens=3, min_tokens=4), "min_tokens"),
        (StopCriteria(stop_strings=["x"] * 17), "stop_strings"),
        (StopCriteria(stop_strings=["x", ""]), "stop_strings[1]"),
        (StopCriteria(stop_strings=["x" * 257]), "stop_strings[0]"),
        (StopCriteria(stop_token_ids=[1] * 65), "stop_token_ids"),
        (StopCriteria(stop_token_ids=[3, 100]), "stop_token_ids[1]"),
    ],
)
def test_stop_limits(stop: StopCriteria, field: str) -> None:
    with pytest.raises(ServiceError) as caught:
        check_stop(stop, 100, "spec.stop")
    assert caught.value.field == f"spec.stop.{field}"


def test_the_most_that_is_allowed() -> None:
    check_stop(
        StopCriteria(
            max_tokens=1,
            min_tokens=1,
            stop_strings=["x" * 256] * 16,
            stop_token_ids=list(range(64)),
        ),
        100,
        "spec.stop",
    )


def test_absent_fields_take_the_models_defaults() -> None:
    defaults = SamplingDefaults(0.5, 40, 0.9, 0.1, 1.1)
    sampling = resolve_sampling(SamplingParams(), defaults, 4096, "spec.sampling")
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.5, 40, 0.9)
    assert (sampling.min_p, sampling.repetition_penalty) == (0.1, 1.1)
    # Zero is a value, not an absence.
    zeros = SamplingParams(temperature=0.0, top_k=0, min_p=0.0)
    sampling = resolve_sampling(zeros, defaults, 4096, "spec.sampling")
    assert (sampling.temperature, sampling.top_k, sampling.min_p) == (0.0, 0, 0.0)


def test_seeds_are_random_unless_given_and_negative_ones_wrap_around() -> None:
    def seed(value: int | None) -> int:
        params = SamplingParams(seed=value)
        return resolve_sampling(params, SamplingDefaults(), 100, "spec.sampling").seed

    assert seed(7) == 7
    assert seed(-1) == 2**64 - 1
    assert len({seed(None) for _ in range(8)}) == 8


def test_defaults_of_a_checkpoint() -> None:
    assert defaults_from({}, "file") == SamplingDefaults(1.0, 0, 1.0, 0.0, 1.0)
    config = {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "do_sample": True, "other": "x"}
    assert defaults_from(config, "file") == SamplingDefaults(0.6, 20, 0.95, 0.0, 1.0)
    assert defaults_from({"do_sample": False, "temperature": 0.7}, "file").temperature == 0.0


@pytest.mark.parametrize(
    "config",
    [
        {"temperature": "hot"},
        {"temperature": 7},
        {"top_k": -1},
        {"top_k": 2.5},
        {"top_p": True},
        {"min_p": float("nan")},
        {"top_k": float("inf")},
    ],
)
def test_bad_defaults_are_refused_by_file(config: dict[str, Any]) -> None:
    with pytest.raises(ModelLoadError, match=r"^generation_config\.json: "):
        defaults_from(config, "generation_config.json")
