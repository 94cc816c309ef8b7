"""Voices of espeak-ng: only where they are turned on, and never instead of another one."""

from __future__ import annotations

import shutil
from typing import Any

import httpx
import pytest

from sterna.v1 import speech_pb2
from sterna_service.speech.espeak import Espeak
from tests.support.core import refusal
from tests.voice.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 120.0
TEXT = "Terns fly from one end of the world to the other. They see more daylight than any bird."

installed = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="NOT TESTED: espeak-ng is not installed"
)


async def speak(live: Live, voice_id: str, text: str = TEXT, **config: Any) -> list[Any]:
    wanted = speech_pb2.SynthesisConfig(
        voice_id=voice_id, encoding="AUDIO_ENCODING_PCM_S16LE", **config
    )
    request = speech_pb2.SynthesizeRequest(config=wanted, text=text)
    return [event async for event in live.stub.Synthesize(request, timeout=PATIENCE)]


@pytest.fixture
def offered(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.speech.voices, "espeak", Espeak(enabled=True))


async def test_they_are_off_by_default(live: Live) -> None:
    told = await refusal(speak(live, "espeak:en"))
    assert told.reason == "VOICE_NOT_FOUND"
    assert "voice_espeak" in told.message
    voices = (await live.stub.ListVoices(speech_pb2.ListVoicesRequest(page_size=1000))).voices
    assert {voice.engine for voice in voices} == {"pocket-tts"}


async def test_without_the_program_there_are_none(
    live: Live, offered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    told = await refusal(speak(live, "espeak:en"))
    assert told.reason == "VOICE_NOT_FOUND"
    assert "PATH" in told.message
    voices = (await live.stub.ListVoices(speech_pb2.ListVoicesRequest())).voices
    assert all(voice.engine == "pocket-tts" for voice in voices)


@installed
async def test_they_speak_and_are_labelled(live: Live, offered: None) -> None:
    events = await speak(live, "espeak:en-gb")
    started = events[0].started
    assert (started.model_id, started.voice_id) == ("espeak-ng", "espeak:en-gb")
    assert started.sample_rate_hertz == 22_050
    seconds = events[-1].done.audio_duration.ToTimedelta().total_seconds()
    assert 3 < seconds < 20
    assert sum(len(event.audio) for event in events) == pytest.approx(2 * 22_050 * seconds)
    voices = (await live.stub.ListVoices(speech_pb2.ListVoicesRequest(page_size=1000))).voices
    german = next(voice for voice in voices if voice.voice_id == "espeak:de")
    assert (german.engine, list(german.languages), german.usable) == ("espeak-ng", ["de"], True)
    told = await refusal(live.stub.DeleteVoice(speech_pb2.DeleteVoiceRequest(voice_id="espeak:de")))
    assert told.reason == "VOICE_BUILT_IN"


@installed
async def test_rest_names_what_spoke(live: Live, offered: None) -> None:
    async with httpx.AsyncClient(base_url=live.url, timeout=PATIENCE) as http:
        body = {"input": "Hello.", "voice": "espeak:fr-fr", "response_format": "mp3"}
        answer = await http.post("/v1/audio/speech", json=body)
        assert answer.status_code == 200
        assert answer.headers["x-tts-engine"] == "espeak-ng"
        assert answer.content
        answer = await http.post("/v1/audio/speech", json={"input": "Hello."})
        assert answer.headers["x-tts-engine"] == "pocket-tts"


@installed
@pytest.mark.parametrize("language", ["xx", "en --help", "../en", "-v", "", "EN"])
async def test_what_is_no_language_of_its_own_is_refused(
    live: Live, offered: None, language: str
) -> None:
    told = await refusal(speak(live, f"espeak:{language}"))
    assert told.reason == "VOICE_NOT_FOUND"


@installed
async def test_texts_are_no_options(live: Live, offered: None) -> None:
    for text in ("--version says hello", "-w /etc/passwd", "<voice name='x'>hello</voice>"):
        events = await speak(live, "espeak:en-us", text)
        assert events[-1].done.audio_duration.ToTimedelta().total_seconds() > 0.3
