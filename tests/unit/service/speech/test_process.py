"""A worker that does not get to start leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
import uvloop

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


@pytest.mark.parametrize("turns", range(3))
async def test_a_request_that_leaves_at_once(scratch: Path, turns: int) -> None:
    starting = asyncio.create_task(start_process("recognition", threads=1))
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert not left_in(scratch)


def test_the_server_is_not_forked(scratch: Path) -> None:
    """A fork of a process with the threads of gRPC crashes once in a hundred times."""
    forks: list[int] = []
    os.register_at_fork(before=lambda: forks.append(1))

    async def start_and_end() -> None:
        process = await start_process("recognition", threads=1)
        await process.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(start_and_end())
    assert not forks
    assert not left_in(scratch)
