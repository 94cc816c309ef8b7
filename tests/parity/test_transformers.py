"""The engine, and an independent numpy model, against values recorded from transformers."""

from __future__ import annotations

import pytest

from scripts.checkpoint_presets import TINY_PRESETS
from tests.parity.compare import (
    EXACT_SHARE,
    FLIPPED_LOGITS,
    STAGE_OF,
    TOP1,
    Golden,
    LogitDifference,
    Oracle,
    compare_edges,
    compare_layer,
    compare_linear,
    compare_logits,
)
from tests.parity.fixtures import NAMES, NativeModel, Workbench
from tests.parity.numpy_model import NumpyModel


class Subject:
    """One of the two implementations; what was computed once is kept."""

    def __init__(self, kind: str, workbench: Workbench) -> None:
        self.kind = kind
        self.workbench = workbench
        self._logits: dict[str, list[LogitDifference]] = {}

    def model(self, name: str, seed: int = 0) -> Oracle:
        if self.kind == "numpy":
            return NumpyModel(self.workbench.checkpoint(name, seed))
        return NativeModel(self.workbench.model(name, seed))

    def golden(self, name: str) -> Golden:
        return self.workbench.golden(name)

    def logits(self, name: str) -> list[LogitDifference]:
        """Tolerance 3 for every recorded prompt."""
        if name not in self._logits:
            golden = self.golden(name)
            self._logits[name] = [
                compare_logits(self.model(name, seed), golden, seed) for seed in golden.logit_seeds
            ]
        return self._logits[name]


@pytest.fixture(scope="module", params=["engine", "numpy"])
def subject(request: pytest.FixtureRequest, workbench: Workbench) -> Subject:
    return Subject(request.param, workbench)


@pytest.mark.parametrize("name", NAMES)
def test_projections_equal_the_reference(name: str, subject: Subject) -> None:
    model, golden = subject.model(name), subject.golden(name)
    for index in range(golden.layers):
        for projection in STAGE_OF:
            difference = compare_linear(model, golden, index, projection)
            assert difference.ok, difference


@pytest.mark.parametrize("name", TINY_PRESETS)
def test_projections_of_edge_rows_equal_the_reference(name: str, subject: Subject) -> None:
    """Exact ties go to the even code; zeros, tiny and huge rows stay finite and right."""
    wrong_codes, error = compare_edges(subject.model(name), subject.golden(name))
    assert wrong_codes == 0
    assert error <= 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_layers_equal_the_reference(name: str, subject: Subject) -> None:
    model, golden = subject.model(name), subject.golden(name)
    differences = [compare_layer(model, golden, index) for index in range(golden.layers)]
    assert all(difference.ok for difference in differences), differences
    # Near a boundary the reference could have rounded otherwise, but mostly both round alike.
    rows = sum(difference.rows for difference in differences)
    assert sum(difference.exact_rows for difference in differences) >= EXACT_SHARE * rows


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_near_the_reference(name: str, subject: Subject) -> None:
    differences = subject.logits(name)
    for difference in differences:
        assert difference.error <= FLIPPED_LOGITS, difference
    rows = sum(difference.rows for difference in differences)
    assert sum(difference.top1_rows for difference in differences) >= TOP1 * rows, differences
    # The first position depends on no other: if that is off in every run, the model is wrong.
    assert sum(difference.exact_rows for difference in differences) > 0, differences


def test_logits_of_most_prompts_equal_the_reference(subject: Subject) -> None:
    """Flips of codes spread, so a single prompt proves little; most prompts meet none."""
    differences = [difference for name in NAMES for difference in subject.logits(name)]
    exact = sum(difference.exact for difference in differences)
    assert exact >= EXACT_SHARE * len(differences), f"{exact} of {len(differences)} prompts"


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_logits_with_a_rounded_cache_are_near_the_reference(
    workbench: Workbench, dtype: str
) -> None:
    """Rounded keys and values flip codes in every row: no row is exact, all are near."""
    differences = []
    for name in NAMES:
        golden = workbench.golden(name)
        for seed in golden.logit_seeds:
            model = NativeModel(workbench.model(name, seed), dtype)
            differences.append(compare_logits(model, golden, seed))
    assert max(difference.error for difference in differences) <= FLIPPED_LOGITS
    rows = sum(difference.rows for difference in differences)
    assert sum(difference.top1_rows for difference in differences) >= TOP1 * rows
