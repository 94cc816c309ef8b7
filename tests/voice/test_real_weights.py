"""Real weights, which this repository cannot hold: what is said, and spoken, is understood.

    STERNA_REAL_WHISPER=DIRECTORY STERNA_REAL_TTS=DIRECTORY make voice-test PYTEST="-k real_weights"

The directories are those that `sterna pull --voice base.en` and `sterna pull --voice english` make,
under `speech/` in the home directory.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from sterna.v1 import audio_pb2, recognition_pb2, speech_pb2, speech_pb2_grpc
from sterna_service.app import CoreOptions, start_core
from sterna_service.speech.options import SpeechOptions
from tests.support.speech import DATA, messages
from training.digits.edits import edits


def directory(variable: str) -> str:
    value = os.environ.get(variable, "")
    return str(Path(value).resolve()) if value else ""


WHISPER, TTS = directory("STERNA_REAL_WHISPER"), directory("STERNA_REAL_TTS")
PATIENCE = 600.0

JFK = (
    "And so my fellow Americans ask not what your country can do for you "
    "ask what you can do for your country"
)
SPOKEN = "The arctic tern flies from one end of the world to the other and back again every year."

pytestmark = pytest.mark.asyncio(loop_scope="module")

needs_whisper = pytest.mark.skipif(
    not WHISPER, reason="NOT TESTED with real recognition weights: set STERNA_REAL_WHISPER"
)
needs_both = pytest.mark.skipif(
    not (WHISPER and TTS),
    reason="NOT TESTED with real synthesis weights: set STERNA_REAL_WHISPER and STERNA_REAL_TTS",
)


def words(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", "", text.lower()).split()


def error_rate(wanted: str, heard: str) -> float:
    return edits(words(wanted), words(heard)) / len(words(wanted))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    options = SpeechOptions(recognition_model=WHISPER, synthesis_model=TTS or "english")
    home = tmp_path_factory.mktemp("real-weights")
    core = await start_core(CoreOptions(home=home, port=0, threads=1, speech=options))
    try:
        async with grpc.aio.insecure_channel(core.address) as channel:
            yield speech_pb2_grpc.SpeechServiceStub(channel)
    finally:
        await core.stop(0)


async def transcribed(stub: Any, data: bytes) -> str:
    config = recognition_pb2.RecognitionConfig(language="en")
    upload = messages(speech_pb2.TranscribeRequest, config, data)
    return str((await stub.Transcribe(upload, timeout=PATIENCE)).text)


@needs_whisper
async def test_a_speech_is_understood(stub: Any) -> None:
    heard = await transcribed(stub, (DATA / "jfk.mp3").read_bytes())
    print(f"word error rate {error_rate(JFK, heard):.3f}: {heard}")
    assert error_rate(JFK, heard) <= 0.1


@needs_both
async def test_what_is_spoken_is_understood(stub: Any) -> None:
    config = speech_pb2.SynthesisConfig(encoding=audio_pb2.AUDIO_ENCODING_WAV)
    request = speech_pb2.SynthesizeRequest(config=config, text=SPOKEN)
    events = [event async for event in stub.Synthesize(request, timeout=PATIENCE)]
    heard = await transcribed(stub, b"".join(event.audio for event in events))
    print(f"word error rate {error_rate(SPOKEN, heard):.3f}: {heard}")
    assert error_rate(SPOKEN, heard) <= 0.15
