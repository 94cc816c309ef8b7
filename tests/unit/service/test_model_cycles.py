"""Loading and unloading leaves nothing behind: no memory, no threads, no open files."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.model_cycles import Cycle, run_cycles
from tests.support.tiny_bert import make_weights
from tests.support.tiny_encoder import make_encoder

CYCLES = 50
WARM = 10
# Of private memory, all cycles together; a model that stayed would be some ten times that.
MOST_GROWTH = 6 * 2**20


def check(cycles: list[Cycle]) -> None:
    warm, last = cycles[WARM - 1].after, cycles[-1].after
    assert last.private - warm.private < MOST_GROWTH
    # asyncio's own threads come when they are first needed; a model's would be one for each cycle.
    assert last.threads - warm.threads < (CYCLES - WARM) // 4
    assert last.files <= warm.files
    # While it is loaded, there is something to leave behind.
    assert cycles[WARM].loaded.threads > warm.threads


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
