"""Models with scales by groups of columns, which were trained with float activations.

The reference keeps activations in float, the engine rounds them by groups. So there are two
comparisons: a numpy model that rounds nothing equals the reference, which shows that weights and
graph are read right; and the engine is near the reference, and equal to the numpy model that rounds
as it does.
"""

from __future__ import annotations

import numpy as np
import pytest

from scripts.checkpoint_presets import GROUPED_PRESETS
from tests.parity.compare import (
    EXACT,
    EXACT_LOGITS,
    FLIPPED_LOGITS,
    ROUNDED,
    ROUNDED_MEAN,
    STAGE_OF,
    TOP1,
    compare_logits,
    compare_means,
    compare_values,
)
from tests.parity.fixtures import NativeModel, Workbench
from tests.parity.numpy_model import NumpyModel

pytestmark = pytest.mark.parametrize("name", GROUPED_PRESETS)


def test_without_rounding_the_model_is_the_reference(name: str, workbench: Workbench) -> None:
    golden = workbench.golden(name)
    for seed in golden.logit_seeds:
        model = NumpyModel(workbench.checkpoint(name, seed), rounded=False)
        assert compare_logits(model, golden, seed).error <= EXACT_LOGITS


def test_projections_round_by_groups_and_stay_near(name: str, workbench: Workbench) -> None:
    golden, engine = workbench.golden(name), NativeModel(workbench.model(name))
    plain = NumpyModel(workbench.checkpoint(name))
    for index in range(golden.layers):
        for projection in STAGE_OF:
            x = golden.values[f"{golden.stage(index, projection)}/x"]
            expected = golden.values[f"linear/{index}.{projection}/y"]
            linear = f"layers.{index}.{projection}"
            codes, steps, y = engine.linear(linear, x)
            plain_codes, plain_steps, plain_y = plain.linear(linear, x)
            assert np.array_equal(codes, plain_codes)
            assert np.array_equal(steps, plain_steps)
            assert compare_values(y, plain_y) <= EXACT
            assert compare_values(y, expected) <= ROUNDED
            assert compare_means(y, expected) <= ROUNDED_MEAN


def test_layers_stay_near_the_reference(name: str, workbench: Workbench) -> None:
    golden, engine = workbench.golden(name), NativeModel(workbench.model(name))
    hidden = golden.values["layer/hidden"]
    for index in range(golden.layers):
        actual, expected = engine.layer(index, hidden[index]), hidden[index + 1]
        assert compare_values(actual, expected) <= ROUNDED
        assert compare_means(actual, expected) <= ROUNDED_MEAN


def test_logits_stay_near_the_reference(name: str, workbench: Workbench) -> None:
    golden = workbench.golden(name)
    differences = [
        compare_logits(NativeModel(workbench.model(name, seed)), golden, seed)
        for seed in golden.logit_seeds
    ]
    assert max(difference.error for difference in differences) <= FLIPPED_LOGITS
    rows = sum(difference.rows for difference in differences)
    assert sum(difference.top1_rows for difference in differences) >= TOP1 * rows, differences
