"""A worker that does not get to start leaves nothing behind."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from sterna_service.errors import Reason, ServiceError
from sterna_service.speech.process import start_process


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_in(scratch: Path) -> list[Path]:
    return list(scratch.iterdir())


async def test_a_program_that_cannot_be_started(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(ServiceError) as caught:
        await start_process("recognition", threads=1)
    assert caught.value.reason is Reason.SPEECH_WORKER_FAILED
    assert caught.value.retry_after
    assert not left_in(scratch)


@pytest.mark.parametrize("turns", range(4))
async def test_a_request_that_leaves_at_once(scratch: Path, turns: int) -> None:
    starting = asyncio.create_task(start_process("recognition", threads=1))
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert not left_in(scratch)
