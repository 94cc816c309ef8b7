"""The engine, and an independent numpy model, against values recorded from transformers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scripts.checkpoint_presets import TINY_PRESETS
from tests.parity.compare import (
    EXACT_SHARE,
    FLIPPED_LOGITS,
    STAGE_OF,
    TOP1,
    Oracle,
    compare_edges,
    compare_layer,
    compare_linear,
    compare_logits,
)
from tests.parity.fixtures import NAMES, NativeModel, Workbench
from tests.parity.numpy_model import NumpyModel

MakeOracle = Callable[[str, int], Oracle]


@pytest.fixture(params=["engine", "numpy"])
def oracle(request: pytest.FixtureRequest, workbench: Workbench) -> MakeOracle:
    """Opens a model by name and seed, in one of the two implementations."""
    if request.param == "numpy":
        return lambda name, seed: NumpyModel(workbench.checkpoint(name, seed))
    return lambda name, seed: NativeModel(workbench.model(name, seed))


@pytest.mark.parametrize("name", NAMES)
def test_projections_equal_the_reference(
    name: str, oracle: MakeOracle, workbench: Workbench
) -> None:
    model, golden = oracle(name, 0), workbench.golden(name)
    for index in range(golden.layers):
        for projection in STAGE_OF:
            difference = compare_linear(model, golden, index, projection)
            assert difference.ok, difference


@pytest.mark.parametrize("name", TINY_PRESETS)
def test_projections_of_edge_rows_equal_the_reference(
    name: str, oracle: MakeOracle, workbench: Workbench
) -> None:
    """Exact ties go to the even code; zeros, tiny and huge rows stay finite and right."""
    wrong_codes, error = compare_edges(oracle(name, 0), workbench.golden(name))
    assert wrong_codes == 0
    assert error <= 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_layers_equal_the_reference(name: str, oracle: MakeOracle, workbench: Workbench) -> None:
    model, golden = oracle(name, 0), workbench.golden(name)
    differences = [compare_layer(model, golden, index) for index in range(golden.layers)]
    assert all(difference.ok for difference in differences), differences
    # Near a boundary the reference could have rounded otherwise, but mostly both round alike.
    rows = sum(difference.rows for difference in differences)
    assert sum(difference.exact_rows for difference in differences) >= EXACT_SHARE * rows


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_near_the_reference(name: str, oracle: MakeOracle, workbench: Workbench) -> None:
    golden = workbench.golden(name)
    differences = [compare_logits(oracle(name, seed), golden, seed) for seed in golden.logit_seeds]
    for difference in differences:
        assert difference.error <= FLIPPED_LOGITS, difference
    rows = sum(difference.rows for difference in differences)
    assert sum(difference.top1_rows for difference in differences) >= TOP1 * rows, differences
    # The first position depends on no other: if that is off in every run, the model is wrong.
    assert sum(difference.exact_rows for difference in differences) > 0, differences


def test_logits_of_most_prompts_equal_the_reference(
    oracle: MakeOracle, workbench: Workbench
) -> None:
    """Flips of codes spread, so a single prompt proves little; most prompts meet none."""
    differences = [
        compare_logits(oracle(name, seed), workbench.golden(name), seed)
        for name in NAMES
        for seed in workbench.golden(name).logit_seeds
    ]
    exact = sum(difference.exact for difference in differences)
    assert exact >= EXACT_SHARE * len(differences), f"{exact} of {len(differences)} prompts"
