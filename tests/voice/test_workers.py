"""Workers that die, and what becomes of their requests."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from sterna.v1 import recognition_pb2, speech_pb2
from tests.support.core import refusal
from tests.support.speech import messages, recording, spoken, until, wav
from tests.voice.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 120.0
LONG = ("Terns fly from one end of the world to the other. " * 60)[:2500]


def transcription(live: Live, data: bytes) -> Any:
    config = recognition_pb2.RecognitionConfig(language="en")
    upload = messages(speech_pb2.TranscribeRequest, config, data)
    return live.stub.Transcribe(upload, timeout=PATIENCE)


async def test_a_synthesizer_that_is_killed_fails_its_request_and_comes_back(live: Live) -> None:
    call = live.stub.Synthesize(speech_pb2.SynthesizeRequest(text=LONG), timeout=PATIENCE)

    async def read_and_kill() -> None:
        async for event in call:
            if event.audio:
                pid = live.speech.synthesizer.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)

    told = await refusal(read_and_kill())
    assert told.reason == "SPEECH_WORKER_FAILED"
    assert told.code == grpc.StatusCode.UNAVAILABLE
    assert told.metadata == {"worker": "synthesis"}
    assert told.retry_seconds
    again = live.stub.Synthesize(speech_pb2.SynthesizeRequest(text="Hello."), timeout=PATIENCE)
    events = [event async for event in again]
    assert events[-1].WhichOneof("event") == "done"


async def test_a_recognizer_that_is_killed_fails_its_request_and_comes_back(live: Live) -> None:
    assert (await transcription(live, recording(1))).info.model_id == "digits"
    worker = live.speech.recognizer
    first = worker.pid
    assert first is not None
    running = transcription(live, wav(spoken([1, 2, 3] * 9)))
    # Stopped first, so that it dies in the middle however fast it is.
    os.kill(first, signal.SIGSTOP)
    await until(lambda: worker.requests == 1)
    os.kill(first, signal.SIGKILL)
    told = await refusal(running)
    assert (told.reason, told.metadata) == ("SPEECH_WORKER_FAILED", {"worker": "recognition"})
    assert (await transcription(live, recording(1))).info.model_id == "digits"
    assert worker.pid != first


async def test_workers_see_no_secrets_of_the_server(live: Live) -> None:
    await transcription(live, recording(1))
    pid = live.speech.recognizer.pid
    environment = await asyncio.to_thread(Path(f"/proc/{pid}/environ").read_text)
    entries = environment.split("\0")
    names = {entry.partition("=")[0] for entry in entries}
    assert "HF_HUB_OFFLINE" in names
    assert not {name for name in names if name.startswith("STERNA_") or "_TOKEN" in name}


async def test_an_idle_worker_gives_its_memory_back_and_comes_again(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = live.speech.recognizer
    monkeypatch.setattr(worker, "_keep_alive", 0.05)
    assert (await transcription(live, recording(1))).info.model_id == "digits"
    await until(lambda: worker.pid is None)
    monkeypatch.setattr(worker, "_keep_alive", None)
    assert (await transcription(live, recording(1))).info.model_id == "digits"
    assert worker.pid is not None


async def test_nothing_is_left_in_the_directory_for_temporary_files(live: Live) -> None:
    worker = live.speech.synthesizer
    call = live.stub.Synthesize(speech_pb2.SynthesizeRequest(text="Hello."), timeout=PATIENCE)
    async for _ in call:
        pass
    scratch = scratch_of(worker.pid)
    assert scratch.is_dir()
    before = set(scratch.parent.iterdir())
    # An upload that is larger than what is kept in memory, and no audio.
    await refusal(transcription(live, bytes(5 * 1024 * 1024)))
    assert set(scratch.parent.iterdir()) - before <= {scratch_of(live.speech.recognizer.pid)}
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    await until(lambda: not scratch.exists())


def scratch_of(pid: int | None) -> Path:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return Path(next(entry[7:] for entry in entries if entry.startswith("TMPDIR=")))
