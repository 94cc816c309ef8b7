"""The packages of npm: `openai`, and Vercel's `ai` with `@ai-sdk/openai-compatible`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import Running
from tests.clients.job import MODEL, PARIS

PROGRAMS = sorted(path.name for path in (Path(__file__).parent / "node").glob("*.test.mjs"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_node(server: Running, node_directory: Path, program: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "node", "--test", "--test-reporter=spec", program],
        cwd=node_directory,
        env=os.environ | {"BASE_URL": server.openai, "MODEL": MODEL, "PARIS": PARIS},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "skipped 0" in done.stdout
