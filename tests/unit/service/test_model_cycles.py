"""Loading and unloading leaves nothing behind: no memory, no threads, no open files."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.model_cycles import Cycle, run_cycles
from tests.support.tiny_bert import make_weights
from tests.support.tiny_encoder import make_encoder

CYCLES = 50
# What each cycle left would be there at least so often.
MOST = CYCLES // 4
# Of private memory. Allocators and threads, of which the event loop starts a few as it needs them,
# are some megabytes; models that stay grow with the cycles.
MOST_GROWTH = 20 * 2**20


def check(cycles: list[Cycle]) -> None:
    """Compares the first cycles with the last; a single one may be measured while it changes."""

    def grown(sizes: list[int]) -> float:
        return statistics.median(sizes[-10:]) - statistics.median(sizes[:10])

    assert grown([cycle.after.private for cycle in cycles]) < MOST_GROWTH
    assert grown([cycle.after.threads for cycle in cycles]) < MOST
    assert grown([cycle.after.files for cycle in cycles]) < MOST
    # While it is loaded, there is something to leave behind.
    assert statistics.median(each.loaded.threads - each.after.threads for each in cycles) >= 1


@pytest.fixture(autouse=True)
def only_what_is_new_is_searched() -> Iterator[None]:
    """The collector leaves out what other tests have left; each cycle collects twice."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
async def test_a_language_model(checkpoint: Path, sterna_home: Path) -> None:
    check(await run_cycles(checkpoint, CYCLES, sterna_home))


@pytest.mark.slow
async def test_a_sentence_encoder(tmp_path: Path) -> None:
    directory = make_encoder(tmp_path / "tiny", make_weights())
    check(await run_cycles(directory, CYCLES, tmp_path / "home"))
