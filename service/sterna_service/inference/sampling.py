"""Sampling values: the limits of the protocol, and the defaults of a model."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sterna_service.engine.types import Sampling
from sterna_service.errors import ModelLoadError, ServiceError, out_of_range
from sterna_service.inference.prompt import check_token_ids
from sterna_service.inference.spec import SamplingParams, StopCriteria

MOST_CHOICES = 128
MOST_TOP_LOGPROBS = 20
MOST_BIASED_TOKENS = 1024
MOST_STOP_STRINGS = 16
LONGEST_STOP_STRING = 256
MOST_STOP_TOKENS = 64

_SEEDS = 2**64


@dataclass(frozen=True, slots=True)
class _Range:
    """The values that a number may have, written out in `text` for people."""

    low: float
    high: float
    text: str
    low_included: bool = True

    def check(self, value: float, field: str) -> None:
        # Written so that NaN fails.
        above = value >= self.low if self.low_included else value > self.low
        if not (above and value <= self.high):
            raise out_of_range(field, self.text, _number(value))


_RANGES = {
    "temperature": _Range(0.0, 2.0, "0 to 2"),
    "top_p": _Range(0.0, 1.0, "above 0, at most 1", low_included=False),
    "min_p": _Range(0.0, 1.0, "0 to 1"),
    "repetition_penalty": _Range(0.0, 10.0, "above 0, at most 10", low_included=False),
    "frequency_penalty": _Range(-2.0, 2.0, "-2 to 2"),
    "presence_penalty": _Range(-2.0, 2.0, "-2 to 2"),
}
_BIAS = _Range(-100.0, 100.0, "-100 to 100")


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """What a request gets that leaves a field out."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_tokens: int = 0
    """0: what the context leaves."""


@dataclass(frozen=True, slots=True)
class RequestDefaults:
    """What the server's operator wants in place of a model's own defaults.

    Making one raises `ServiceError` when a value is outside of its limits.
    """

    max_tokens: int = 0
    """0: what the context leaves."""
    temperature: float | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 0:
            raise out_of_range("default_max_tokens", "0 or more", self.max_tokens)
        for name in ("temperature", "top_p"):
            value = getattr(self, name)
            if value is not None:
                _RANGES[name].check(value, f"default_{name}")

    def over(self, own: SamplingDefaults) -> SamplingDefaults:
        """The defaults of a model under these."""
        return replace(
            own,
            max_tokens=self.max_tokens,
            temperature=_or(self.temperature, own.temperature),
            top_p=_or(self.top_p, own.top_p),
        )


def defaults_from(config: Mapping[str, Any], origin: str) -> SamplingDefaults:
    """The defaults in a generation_config.json, whose path is `origin`.

    Raises:
        ModelLoadError: A value is not a number or outside of its limits.
    """
    values: dict[str, Any] = {}
    for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty"):
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelLoadError(f"{origin}: {name} must be a number")
        if name == "top_k":
            # Infinity and NaN fail the first comparison.
            if not 0 <= value < 2**31 or value != int(value):
                raise ModelLoadError(f"{origin}: top_k must be a whole number of at least 0")
            values[name] = int(value)
            continue
        try:
            _RANGES[name].check(value, name)
        except ServiceError as error:
            raise ModelLoadError(f"{origin}: {error.message}") from None
        values[name] = float(value)
    if config.get("do_sample") is False:
        values["temperature"] = 0.0
    return SamplingDefaults(**values)


def resolve_sampling(
    params: SamplingParams, defaults: SamplingDefaults, vocabulary_size: int, field: str
) -> Sampling:
    """Checks a request's values and fills in the model's defaults; `field` is where they stand.

    Raises:
        ServiceError: A value is outside of its limits.
    """
    for name, limits in _RANGES.items():
        value = getattr(params, name)
        if value is not None:
            limits.check(value, f"{field}.{name}")
    if params.top_k is not None and not 0 <= params.top_k <= vocabulary_size:
        raise out_of_range(f"{field}.top_k", f"0 to {vocabulary_size}", params.top_k)
    _check_bias(params.logit_bias, vocabulary_size, f"{field}.logit_bias")
    seed = secrets.randbits(64) if params.seed is None else params.seed % _SEEDS
    return Sampling(
        temperature=_or(params.temperature, defaults.temperature),
        top_k=min(_or(params.top_k, defaults.top_k), vocabulary_size),
        top_p=_or(params.top_p, defaults.top_p),
        min_p=_or(params.min_p, defaults.min_p),
        repetition_penalty=_or(params.repetition_penalty, defaults.repetition_penalty),
        frequency_penalty=_or(params.frequency_penalty, 0.0),
        presence_penalty=_or(params.presence_penalty, 0.0),
        seed=seed,
        logit_bias=sorted(params.logit_bias.items()),
    )


def check_stop(stop: StopCriteria, vocabulary_size: int, field: str) -> None:
    """Checks what does not depend on the prompt.

    Raises:
        ServiceError: A value is outside of its limits.
    """
    if stop.max_tokens is not None and stop.max_tokens < 1:
        raise out_of_range(f"{field}.max_tokens", "1 or more", stop.max_tokens)
    if stop.min_tokens is not None:
        most = stop.max_tokens
        if stop.min_tokens < 0 or (most is not None and stop.min_tokens > most):
            limit = "0 or more" if most is None else f"0 to max_tokens ({most})"
            raise out_of_range(f"{field}.min_tokens", limit, stop.min_tokens)
    strings = stop.stop_strings
    if len(strings) > MOST_STOP_STRINGS:
        raise out_of_range(
            f"{field}.stop_strings", f"at most {MOST_STOP_STRINGS} texts", len(strings)
        )
    for index, text in enumerate(strings):
        if not 1 <= len(text) <= LONGEST_STOP_STRING:
            raise out_of_range(
                f"{field}.stop_strings[{index}]",
                f"1 to {LONGEST_STOP_STRING} characters",
                len(text),
            )
    if len(stop.stop_token_ids) > MOST_STOP_TOKENS:
        raise out_of_range(
            f"{field}.stop_token_ids", f"at most {MOST_STOP_TOKENS} ids", len(stop.stop_token_ids)
        )
    check_token_ids(stop.stop_token_ids, vocabulary_size, f"{field}.stop_token_ids")


def _check_bias(bias: Mapping[int, float], vocabulary_size: int, field: str) -> None:
    if len(bias) > MOST_BIASED_TOKENS:
        raise out_of_range(field, f"at most {MOST_BIASED_TOKENS} entries", len(bias))
    for token, value in bias.items():
        if not 0 <= token < vocabulary_size:
            raise out_of_range(field, f"for token ids from 0 to {vocabulary_size - 1}", token)
        _BIAS.check(value, f"{field}[{token}]")


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _number(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else str(value)
