"""What serving does in its own process."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sterna_server.serving import Running, serve_rest
from sterna_server.settings import Settings


@pytest.fixture
def collector() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
async def test_what_the_start_left_is_not_gone_through_for_garbage(tmp_path: Path) -> None:
    frozen: list[int] = []

    def ready(running: Running) -> None:
        frozen.append(gc.get_freeze_count())
        os.kill(os.getpid(), signal.SIGTERM)

    settings = Settings(home=tmp_path, port=0, core=f"unix:{tmp_path}/core.sock")
    await serve_rest(settings, ready=ready)
    assert frozen[0] > 10_000
