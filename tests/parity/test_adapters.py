"""The engine with LoRA adapters, against values recorded from PEFT on transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sterna_service.engine import _native
from tests.parity.compare import (
    EXACT,
    EXACT_LOGITS,
    EXACT_SHARE,
    FLIPPED_LAYER,
    FLIPPED_LOGITS,
    ROUNDED,
    ROUNDED_MEAN,
    TOP1,
    Golden,
    LogitDifference,
    compare_layer,
    compare_logits,
    compare_means,
    compare_values,
)
from tests.parity.driver import collect, make_request, open_engine
from tests.parity.fixtures import EMBEDDED_NAME, GOLDEN, REPOSITORY, Array, Workbench
from tests.parity.numpy_adapter import AdaptedNumpyModel

ADAPTERS = REPOSITORY / "tests" / "data" / "adapters"
PRESETS = {
    "patterns": "bitnet-multiply",
    "rslora": "llama-multiply-hd64",
    "subset": "bitnet-online-f32",
    "divide": "bitnet-divide",
    "qwen3": "qwen3-multiply",
    "qwen3-divide": "qwen3-divide",
    "qwen3-norms": "qwen3-embedding",
    "pirate": EMBEDDED_NAME,
    "groups": "qwen3-groups",
    "groups-untied": "qwen3-groups-untied",
    "groups-llama": "llama-groups",
}
# Models with scales by groups, whose activations the reference does not round.
GROUPED = tuple(name for name in PRESETS if name.startswith("groups"))
RANDOM = tuple(name for name in PRESETS if name not in (*GROUPED, "pirate"))
# Relative to the exact adapter's effect on the logits of the embedded model.
PRECISION_ERRORS = {"bf16": 0.15, "int8": 0.2, "q8_0": 0.2, "q4_0": 0.6}
STOP_TOKENS = (1, 2)


def directory_of(name: str) -> Path:
    return ADAPTERS / "pirate" if name == "pirate" else ADAPTERS / "golden" / name


def golden_of(name: str) -> Golden:
    golden = Golden.load(GOLDEN / f"adapter-{name}.npz")
    assert golden.meta["preset"] == PRESETS[name]
    return golden


class AdaptedModel:
    """The engine's forward pass with an adapter in every row."""

    def __init__(
        self, workbench: Workbench, name: str, seed: int = 0, precision: str = "none"
    ) -> None:
        self.model = workbench.model(PRESETS[name], seed)
        self.adapter = _native.Adapter.open(str(directory_of(name)), self.model, precision)

    def linear(self, name: str, x: Array) -> tuple[Array, Array, Array]:
        raise NotImplementedError("adapters are no part of a single linear")

    def layer(self, index: int, x: Array) -> Array:
        x = np.ascontiguousarray(x)
        return _native.testing.layer(self.model, index, x, adapter=self.adapter)

    def logits(self, tokens: list[int]) -> Array:
        return _native.testing.logits(self.model, tokens, adapter=self.adapter)


@pytest.mark.parametrize("name", RANDOM)
def test_layers_equal_peft(name: str, workbench: Workbench) -> None:
    golden = golden_of(name)
    assert golden.meta["sha256"]["0"] == workbench.golden(PRESETS[name]).meta["sha256"]["0"]
    model = AdaptedModel(workbench, name)
    differences = [compare_layer(model, golden, index) for index in range(golden.layers)]
    assert all(difference.ok for difference in differences), differences
    rows = sum(difference.rows for difference in differences)
    assert sum(difference.exact_rows for difference in differences) >= EXACT_SHARE * rows


@pytest.mark.parametrize("name", GROUPED)
def test_layers_of_models_with_groups_stay_near_peft(name: str, workbench: Workbench) -> None:
    """And equal a numpy model that rounds as the engine does."""
    golden = golden_of(name)
    checkpoint = workbench.checkpoint(PRESETS[name])
    assert golden.meta["sha256"]["0"] == workbench.golden(PRESETS[name]).meta["sha256"]["0"]
    engine = AdaptedModel(workbench, name)
    plain = AdaptedNumpyModel(checkpoint, directory_of(name))
    hidden = golden.values["layer/hidden"]
    exact = 0
    for index in range(golden.layers):
        x, expected = hidden[index], hidden[index + 1]
        actual, rounded = engine.layer(index, x), plain.layer(index, x)
        assert compare_values(actual, expected) <= ROUNDED
        assert compare_means(actual, expected) <= ROUNDED_MEAN
        assert compare_values(actual, rounded) <= FLIPPED_LAYER
        exact += int((np.abs(actual - rounded).max(axis=1) <= EXACT * rounded.std()).sum())
    assert exact >= EXACT_SHARE * golden.layers * hidden.shape[1]


@pytest.mark.parametrize("name", GROUPED)
def test_without_rounding_models_with_groups_are_peft(name: str, workbench: Workbench) -> None:
    golden = golden_of(name)
    for seed in golden.logit_seeds:
        checkpoint = workbench.checkpoint(PRESETS[name], seed)
        model = AdaptedNumpyModel(checkpoint, directory_of(name), rounded=False)
        assert compare_logits(model, golden, seed).error <= EXACT_LOGITS


@pytest.mark.parametrize("name", [*RANDOM, *GROUPED])
def test_the_layers_would_differ_without_the_adapter(name: str, workbench: Workbench) -> None:
    """The comparison above can fail."""
    golden = golden_of(name)
    hidden = golden.values["layer/hidden"]
    adapted = AdaptedModel(workbench, name)
    last = golden.layers - 1
    plain = _native.testing.layer(adapted.model, last, np.ascontiguousarray(hidden[last]))
    assert np.abs(plain - hidden[last + 1]).max() > 0.1 * hidden[last + 1].std()


def logit_differences(workbench: Workbench, name: str) -> list[LogitDifference]:
    golden = golden_of(name)
    found = [
        compare_logits(AdaptedModel(workbench, name, seed), golden, seed)
        for seed in golden.logit_seeds
    ]
    assert sum(d.top1_rows for d in found) >= TOP1 * sum(d.rows for d in found), found
    for difference in found:
        assert difference.error <= FLIPPED_LOGITS, difference
    return found


def test_logits_are_near_peft(workbench: Workbench) -> None:
    differences = [
        difference
        for name in (*RANDOM, "pirate")
        for difference in logit_differences(workbench, name)
    ]
    exact = sum(difference.exact_rows for difference in differences)
    assert exact >= EXACT_SHARE * sum(difference.rows for difference in differences)


@pytest.mark.parametrize("name", GROUPED)
def test_logits_of_models_with_groups_are_near_peft(name: str, workbench: Workbench) -> None:
    assert logit_differences(workbench, name)


@pytest.mark.parametrize("precision", PRECISION_ERRORS)
def test_quantized_adapters_stay_near_the_exact_one(precision: str, workbench: Workbench) -> None:
    exact = AdaptedModel(workbench, "pirate")
    coarse = AdaptedModel(workbench, "pirate", precision=precision)
    assert coarse.adapter.memory_bytes < 0.6 * exact.adapter.memory_bytes
    golden = golden_of("pirate")
    effect, error = [], []
    for seed in golden.logit_seeds:
        tokens = golden.values[f"logits/{seed}/tokens"].tolist()
        plain = _native.testing.logits(exact.model, tokens)[-1]
        expected = exact.logits(tokens)[-1]
        effect.append(expected - plain)
        error.append(coarse.logits(tokens)[-1] - expected)
    assert np.std(error) <= PRECISION_ERRORS[precision] * np.std(effect)


def test_greedy_answers_of_the_adapter_beside_those_of_the_model(workbench: Workbench) -> None:
    golden = golden_of("pirate")
    plain = workbench.golden(EMBEDDED_NAME)
    adapted = AdaptedModel(workbench, "pirate")
    requests: list[_native.Request] = []
    expected: list[list[int]] = []
    for index in range(len(golden.meta["greedy"])):
        for source, adapter in ((golden, adapted.adapter), (plain, None)):
            request = make_request(
                len(requests),
                source.values[f"greedy/{index}/prompt"].tolist(),
                max_tokens=48,
                stop_tokens=list(STOP_TOKENS),
                adapter=adapter,
            )
            requests.append(request)
            ids = source.values[f"greedy/{index}/ids"].tolist()
            expected.append([token for token in ids if token not in STOP_TOKENS])
    with open_engine(adapted.model, max_batch=8) as engine:
        results = collect(engine, requests)
    equal = [results[r.id].tokens.get(0, []) == e for r, e in zip(requests, expected, strict=True)]
    # Every other request is the adapter's; a rounding may turn one answer of each.
    assert sum(equal[0::2]) >= len(equal) // 2 - 1
    assert sum(equal[1::2]) >= len(equal) // 2 - 1
    assert expected[0] != expected[1]
