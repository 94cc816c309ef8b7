"""How a token is chosen, in plain numpy: the order is the one that native/include/sterna states."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Sampling:
    """The sampling fields of a request, under the same names."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: list[tuple[int, float]] = field(default_factory=list)

    def __str__(self) -> str:
        """The fields that are not at their defaults."""
        given = {name: value for name, value in vars(self).items() if value != DEFAULTS[name]}
        return ", ".join(f"{name}={value}" for name, value in given.items()) or "defaults"


DEFAULTS = vars(Sampling())


def adjusted_logits(logits: Array, sampling: Sampling, prompt: list[int], out: list[int]) -> Array:
    """[vocab] after logit bias and penalties, in float64."""
    result = logits.astype(np.float64)
    for token, bias in sampling.logit_bias:
        result[token] += bias
    for token in {*prompt, *out}:
        factor = sampling.repetition_penalty
        result[token] = result[token] / factor if result[token] > 0 else result[token] * factor
    for token, count in Counter(out).items():
        result[token] -= sampling.frequency_penalty * count + sampling.presence_penalty
    return result


def probabilities(logits: Array, sampling: Sampling, prompt: list[int], out: list[int]) -> Array:
    """[vocab] probabilities of the next token; zero for every token that is cut off."""
    scaled = adjusted_logits(logits, sampling, prompt, out) / sampling.temperature
    weights = np.exp(scaled - scaled.max())
    weights[weights < sampling.min_p] = 0
    order = np.lexsort((np.arange(len(weights)), -weights))
    if sampling.top_k:
        weights[order[sampling.top_k :]] = 0
    mass = np.cumsum(weights[order])
    # The token that crosses the limit is kept.
    kept = 1 + int(np.searchsorted(mass, sampling.top_p * mass[-1]))
    weights[order[kept:]] = 0
    result: Array = weights / weights.sum()
    return result
