"""Speech where there is none: switched off, or without its packages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sterna.v1 import recognition_pb2, speech_pb2, speech_pb2_grpc
from sterna_service.app import CoreOptions
from sterna_service.errors import ServiceError, StartupError
from sterna_service.speech.options import SpeechOptions
from sterna_service.speech.runtime import Speech
from tests.support.core import CoreClient, refusal, running_core
from tests.support.speech import messages


async def _one(message: Any) -> AsyncIterator[Any]:
    yield message


def calls(channel: grpc.aio.Channel) -> list[Any]:
    """One call of every method that is built."""
    stub = speech_pb2_grpc.SpeechServiceStub(channel)
    recognition = recognition_pb2.RecognitionConfig()
    voice = speech_pb2.VoiceConfig(voice_id="x")
    spoken = speech_pb2.StreamSynthesizeRequest
    return [
        stub.Transcribe(messages(speech_pb2.TranscribeRequest, recognition, b"")),
        stub.StreamTranscribe(
            messages(speech_pb2.StreamTranscribeRequest, recognition, b"")
        ).read(),
        stub.Synthesize(speech_pb2.SynthesizeRequest(text="Hi")).read(),
        stub.StreamSynthesize(messages(spoken, speech_pb2.SynthesisConfig(), b"")).read(),
        stub.Converse(_one(speech_pb2.ConverseRequest(config={}))).read(),
        stub.GetVoice(speech_pb2.GetVoiceRequest(voice_id="alba")),
        stub.ListVoices(speech_pb2.ListVoicesRequest()),
        stub.CreateVoice(messages(speech_pb2.CreateVoiceRequest, voice, b"")),
        stub.DeleteVoice(speech_pb2.DeleteVoiceRequest(voice_id="x")),
    ]


async def test_a_server_without_speech_says_how_to_start_it(core: CoreClient) -> None:
    for call in calls(core.channel):
        told = await refusal(call)
        assert told.code == grpc.StatusCode.UNIMPLEMENTED
        assert told.reason == "SPEECH_DISABLED"
        assert "--voice" in told.message


async def test_missing_packages_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    speech = Speech(SpeechOptions(), tmp_path, processors=2)
    for worker in (speech.recognizer, speech.synthesizer):
        with pytest.raises(ServiceError) as caught:
            worker.check_installed()
        assert caught.value.reason == "SPEECH_WEIGHTS_MISSING"
        assert 'pip install "sterna-server[voice]"' in caught.value.message


async def test_voices_are_listed_without_weights(sterna_home: Path, tmp_path: Path) -> None:
    options = SpeechOptions(synthesis_model=str(tmp_path), voices_dir=tmp_path / "voices")
    async with running_core(CoreOptions(home=sterna_home, port=0, speech=options)) as client:
        stub = speech_pb2_grpc.SpeechServiceStub(client.channel)
        listed = (await stub.ListVoices(speech_pb2.ListVoicesRequest())).voices
        assert len(listed) == 8
        assert all(voice.built_in and not voice.usable for voice in listed)


@pytest.mark.parametrize(
    "options",
    [
        SpeechOptions(recognition_compute_type="int3"),
        SpeechOptions(max_queue=-1),
        SpeechOptions(max_audio_seconds=0),
        SpeechOptions(max_audio_bytes=0),
    ],
)
async def test_options_out_of_range_keep_the_core_from_starting(
    sterna_home: Path, options: SpeechOptions
) -> None:
    with pytest.raises(StartupError):
        async with running_core(CoreOptions(home=sterna_home, port=0, speech=options)):
            pass
