"""A few rounds of the kill loop; `python -m tests.fault.kill_loop` runs hundreds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.kill_loop import kill_loop
from tests.support.speech import missing_packages


@pytest.mark.e2e
@pytest.mark.timeout(600)
async def test_what_was_acknowledged_survives_being_killed(
    tmp_path: Path, database_url: str
) -> None:
    """One kill while it starts, one beside a key's command, one while voices are made."""
    lines: list[str] = []
    voices = not missing_packages()
    ledger = await kill_loop(
        4,
        tmp_path,
        database_url=database_url,
        seed=77,
        voice_share=0.5 if voices else 0.0,
        report=lines.append,
    )
    assert ledger.problems == []
    assert ledger.acknowledged > 0
    assert "4 kills (1 while it started)" in lines[-1]
    assert (" 0 voices" in lines[-1]) != voices
