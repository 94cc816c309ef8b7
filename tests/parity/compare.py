"""How far a model is from the reference, at the three levels where a limit makes sense.

Activations are rounded to int8, so a difference of one ulp before the rounding can become a whole
step after it. Therefore one limit for a whole model would be either empty or wrong:

1. a projection, given the reference's own input: the codes are equal except where the input lies
   on a rounding boundary, and the output is equal to float accuracy when the codes are;
2. a layer, given the reference's own input: equal to float accuracy, unless some activation inside
   came so near to a boundary that the reference itself could have rounded the other way;
3. the logits of a whole model: equal to float accuracy for most seeds, near for all.

All differences are divided by the standard deviation of the reference's values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STAGE_OF = {
    "q": "qkv",
    "k": "qkv",
    "v": "qkv",
    "o": "o",
    "gate": "gateup",
    "up": "gateup",
    "down": "down",
}

EXACT = 1e-5  # of a deviation: float accuracy over one projection or layer
BOUNDARY = 1e-4  # distance from a half at which a code may differ
LAYER_BOUNDARY = 3e-5  # the same inside a layer: some ulps of an activation near 127
FLIPPED_LAYER = 0.05
EXACT_LOGITS = 1e-4
FLIPPED_LOGITS = 0.3
# Models that were trained with float activations, whose inputs are rounded here by groups: a code
# is off by half a step, and a step is a fiftieth of its group's deviation, or more where values are
# far apart, as behind SwiGLU. For one projection or layer:
ROUNDED = 0.1  # the largest
ROUNDED_MEAN = 0.02  # the root of the mean square
TOP1 = 0.9  # share of positions
EXACT_SHARE = 0.5  # of the rows of a layer, and of the prompts of all shapes together


class Oracle(Protocol):
    """What both the engine's test hooks and the numpy model offer."""

    def linear(self, name: str, x: Array) -> tuple[Array, Array, Array]: ...
    def layer(self, index: int, x: Array) -> Array: ...
    def logits(self, tokens: list[int]) -> Array: ...


@dataclass(frozen=True)
class Golden:
    """One golden file."""

    values: dict[str, Array]

    @staticmethod
    def load(path: Path) -> Golden:
        with np.load(path, allow_pickle=False) as file:
            return Golden({name: file[name] for name in file.files})

    @property
    def meta(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(str(self.values["meta"]))
        return result

    @property
    def layers(self) -> int:
        return len(self.values["layer/hidden"]) - 1

    def stage(self, index: int, projection: str) -> str:
        """Where the input of a projection is: shared by a stage, unless each has its own norm."""
        own = f"linear/{index}.{projection}"
        return own if f"{own}/x" in self.values else f"linear/{index}.{STAGE_OF[projection]}"

    @property
    def logit_seeds(self) -> list[int]:
        seeds = {name.split("/")[1] for name in self.values if name.startswith("logits/")}
        return sorted(int(seed) for seed in seeds)


@dataclass(frozen=True)
class LinearDifference:
    name: str
    codes: int  # how many were compared
    flips: int  # codes that differ
    unexplained: int  # of these, not by one, or not at a rounding boundary
    step_error: float  # relative
    error: float  # of the rows without a flip, in deviations

    @property
    def ok(self) -> bool:
        return self.unexplained == 0 and self.step_error <= 1e-6 and self.error <= EXACT


@dataclass(frozen=True)
class LayerDifference:
    index: int
    rows: int
    strict_rows: int  # rows that no rounding boundary can excuse
    exact_rows: int  # rows that are equal to float accuracy
    strict_error: float
    error: float

    @property
    def ok(self) -> bool:
        return self.strict_error <= EXACT and self.error <= FLIPPED_LAYER


@dataclass(frozen=True)
class LogitDifference:
    seed: int
    rows: int  # positions that were compared
    exact_rows: int  # positions where every logit is equal to float accuracy
    error: float
    top1_rows: int  # positions with the same most likely token

    @property
    def exact(self) -> bool:
        return self.exact_rows == self.rows


def compare_linear(model: Oracle, golden: Golden, index: int, name: str) -> LinearDifference:
    """Tolerance 1, for projection `name` (q, k, v, o, gate, up, down) of layer `index`."""
    stage = golden.stage(index, name)
    x, scale = golden.values[f"{stage}/x"], golden.values[f"{stage}/scale"]
    expected_codes = golden.values[f"{stage}/codes"].astype(np.int32)
    expected = golden.values[f"linear/{index}.{name}/y"]
    codes, steps, y = model.linear(f"layers.{index}.{name}", x)
    difference = np.abs(codes.astype(np.int32) - expected_codes)
    rounded = golden.values.get(f"{stage}/normed", x)
    scaled = rounded.astype(np.float64) * scale[:, None].astype(np.float64)
    at_boundary = np.abs(scaled - np.floor(scaled) - 0.5) <= BOUNDARY
    same = (difference == 0).all(axis=1)
    error = np.abs(y - expected)[same]
    return LinearDifference(
        name=f"layers.{index}.{name}",
        codes=int(difference.size),
        flips=int((difference != 0).sum()),
        unexplained=int(((difference > 1) | ((difference == 1) & ~at_boundary)).sum()),
        step_error=float(np.abs(steps.astype(np.float64) * scale - 1).max()),
        error=float(error.max() / expected.std()) if error.size else 0.0,
    )


def compare_values(actual: Array, expected: Array) -> float:
    """The largest difference, in deviations."""
    return float(np.abs(actual - expected).max() / expected.std())


def compare_means(actual: Array, expected: Array) -> float:
    """The root of the mean squared difference, in deviations."""
    return float(np.sqrt(np.square(actual - expected).mean()) / expected.std())


def compare_edges(model: Oracle, golden: Golden) -> tuple[int, float]:
    """Made-up rows: (codes that differ, largest error relative to the row's largest output)."""
    values = golden.values
    codes, steps, y = model.linear("layers.0.q", values["edge/x"])
    expected = values["edge/y"].astype(np.float64)
    largest = np.maximum(np.abs(expected).max(axis=1), np.finfo(np.float32).tiny)
    error = float((np.abs(y - expected).max(axis=1) / largest).max())
    step_error = float(np.abs(steps.astype(np.float64) * values["edge/scale"] - 1).max())
    return int((codes != values["edge/codes"]).sum()), max(error, step_error)


def compare_layer(model: Oracle, golden: Golden, index: int) -> LayerDifference:
    """Tolerance 2. A flip in k or v of one row reaches every later row through attention."""
    hidden = golden.values["layer/hidden"]
    margin = golden.values["layer/margin"][index].copy()  # [qkv, o, gateup, down] x [t]
    margin[0] = np.minimum.accumulate(margin[0])
    strict = margin.min(axis=0) > LAYER_BOUNDARY
    error = np.abs(model.layer(index, hidden[index]) - hidden[index + 1]).max(axis=1)
    error = error / hidden[index + 1].std()
    return LayerDifference(
        index=index,
        rows=len(error),
        strict_rows=int(strict.sum()),
        exact_rows=int((error <= EXACT).sum()),
        strict_error=float(error[strict].max()) if strict.any() else 0.0,
        error=float(error.max()),
    )


def compare_logits(model: Oracle, golden: Golden, seed: int) -> LogitDifference:
    """Tolerance 3, for the prompt recorded with `seed`."""
    tokens = golden.values[f"logits/{seed}/tokens"].tolist()
    expected = golden.values[f"logits/{seed}/values"]
    actual = model.logits(tokens)[golden.values[f"logits/{seed}/rows"]]
    error = np.abs(actual - expected).max(axis=1) / expected.std()
    return LogitDifference(
        seed=seed,
        rows=len(error),
        exact_rows=int((error <= EXACT_LOGITS).sum()),
        error=float(error.max()),
        top1_rows=int((actual.argmax(axis=1) == expected.argmax(axis=1)).sum()),
    )
