"""Voices: registered, listed, used, kept over a restart, deleted."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest

from sterna.v1 import speech_pb2, speech_pb2_grpc
from sterna_service.app import CoreOptions, start_core
from sterna_service.speech.options import SpeechOptions
from tests.support.core import Refusal, refusal
from tests.support.small_disk import fill, small_disk
from tests.support.speech import DATA, float_wav, messages, recording, spoken, wav
from tests.voice.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 120.0
SAMPLE = (DATA / "jfk.mp3").read_bytes()
PREDEFINED = ["alba", "marius", "javert", "jean", "fantine", "cosette", "eponine", "azelma"]


def create(stub: Any, voice_id: str, data: bytes = SAMPLE, **config: Any) -> Any:
    wanted = speech_pb2.VoiceConfig(voice_id=voice_id, **config)
    upload = messages(speech_pb2.CreateVoiceRequest, wanted, data)
    return stub.CreateVoice(upload, timeout=PATIENCE)


async def refused(live: Live, voice_id: str, data: bytes = SAMPLE) -> Refusal:
    told = await refusal(create(live.stub, voice_id, data))
    # Nothing is left of what was refused.
    left = [path.name for path in (live.home / "voices").glob("*")]
    assert voice_id not in left
    assert not [name for name in left if name.startswith(".")]
    return told


async def voices(stub: Any) -> list[speech_pb2.Voice]:
    return list((await stub.ListVoices(speech_pb2.ListVoicesRequest(), timeout=10)).voices)


async def test_the_predefined_voices_come_first(live: Live) -> None:
    listed = await voices(live.stub)
    assert [voice.voice_id for voice in listed[:8]] == PREDEFINED
    assert all(voice.built_in for voice in listed[:8])
    assert [voice.voice_id for voice in listed[:8] if voice.usable] == ["alba", "marius"]


async def test_a_voice_lives_through_a_restart(live: Live, voice_home: Path) -> None:
    voice = (await create(live.stub, "jfk", consent=True, language="en")).voice
    assert (voice.voice_id, voice.built_in, voice.usable) == ("jfk", False, True)
    assert voice.sample_duration.ToTimedelta().total_seconds() == pytest.approx(11, abs=0.1)
    assert voice.consent_time == voice.create_time
    manifest = json.loads((voice_home / "voices" / "jfk" / "voice.json").read_text())
    assert len(manifest["fingerprint"]) == 64
    assert stat.S_IMODE((voice_home / "voices").stat().st_mode) == 0o700

    options = SpeechOptions(recognition_model="digits")
    other = await start_core(CoreOptions(home=voice_home, port=0, threads=1, speech=options))
    try:
        async with grpc.aio.insecure_channel(other.address) as channel:
            stub = speech_pb2_grpc.SpeechServiceStub(channel)
            found = (await stub.GetVoice(speech_pb2.GetVoiceRequest(voice_id="jfk"))).voice
            assert found == voice
            request = speech_pb2.SynthesizeRequest(
                config=speech_pb2.SynthesisConfig(voice_id="jfk"), text="Hello."
            )
            events = [event async for event in stub.Synthesize(request, timeout=PATIENCE)]
            assert events[0].started.voice_id == "jfk"
            assert (await refusal(create(stub, "jfk"))).reason == "VOICE_ALREADY_EXISTS"
            await stub.DeleteVoice(speech_pb2.DeleteVoiceRequest(voice_id="jfk"))
    finally:
        await other.stop(0)
    assert "jfk" not in [voice.voice_id for voice in await voices(live.stub)]
    assert not list((voice_home / "voices").iterdir())


async def test_a_disk_without_room_keeps_nothing_of_a_voice(
    voice_home: Path, tmp_path: Path
) -> None:
    with small_disk("8m", tmp_path / "disk") as disk:
        options = SpeechOptions(recognition_model="digits", voices_dir=disk / "voices")
        core = await start_core(CoreOptions(home=voice_home, port=0, threads=1, speech=options))
        try:
            async with grpc.aio.insecure_channel(core.address) as channel:
                stub = speech_pb2_grpc.SpeechServiceStub(channel)
                await create(stub, "first")
                fill(disk / "filler")
                told = await refusal(create(stub, "second"))
                assert told.reason == "DISK_FULL"
                assert "make room" in told.message
                assert [each.name for each in (disk / "voices").iterdir()] == ["first"]
                # To delete one makes the room.
                await stub.DeleteVoice(speech_pb2.DeleteVoiceRequest(voice_id="first"))
                assert (await create(stub, "second")).voice.usable
        finally:
            await core.stop(0)


async def test_a_voice_of_other_weights_is_told_and_not_used(live: Live) -> None:
    await create(live.stub, "old")
    path = live.home / "voices" / "old" / "voice.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"fingerprint": "0" * 64}))
    found = next(voice for voice in await voices(live.stub) if voice.voice_id == "old")
    assert not found.usable
    assert not found.HasField("consent_time")
    request = speech_pb2.SynthesizeRequest(
        config=speech_pb2.SynthesisConfig(voice_id="old"), text="Hello."
    )
    told = await refusal(live.stub.Synthesize(request, timeout=PATIENCE).read())
    assert told.reason == "MODEL_UNSUPPORTED"
    await live.stub.DeleteVoice(speech_pb2.DeleteVoiceRequest(voice_id="old"))


@pytest.mark.parametrize(
    ("data", "check"),
    [
        (recording(1), "length"),
        (float_wav([0.0001, -0.0001] * 40_000), "level"),
        (float_wav([1.0, -1.0] * 40_000), "clipping"),
        (float_wav([0.2, -0.2] * 40_000), "speech"),
    ],
    ids=["short", "quiet", "clipped", "no-speech"],
)
async def test_unusable_samples_say_what_is_wrong(live: Live, data: bytes, check: str) -> None:
    told = await refused(live, "bad", data)
    assert (told.reason, told.metadata) == ("VOICE_SAMPLE_UNUSABLE", {"check": check})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no audio", "AUDIO_UNREADABLE"),
        (wav(spoken([1, 2, 3, 4, 5] * 20)), "AUDIO_TOO_LONG"),
        (bytes(8 * 1024 * 1024 + 1), "AUDIO_TOO_LARGE"),
        (float_wav([0.1, float("nan")] * 40_000), "AUDIO_UNREADABLE"),
    ],
    ids=["text", "long", "large", "nan"],
)
async def test_files_that_are_no_samples_are_refused(live: Live, data: bytes, reason: str) -> None:
    assert (await refused(live, "bad", data)).reason == reason


@pytest.mark.parametrize("voice_id", ["", "a/b", "../x", "UPPER", "-x", "x" * 65, "ä", "."])
async def test_ids_that_are_no_ids_are_refused(live: Live, voice_id: str) -> None:
    assert (await refusal(create(live.stub, voice_id))).reason == "INVALID_FIELD"
    request = speech_pb2.DeleteVoiceRequest(voice_id=voice_id)
    assert (await refusal(live.stub.DeleteVoice(request))).reason == "VOICE_NOT_FOUND"


async def test_predefined_voices_stay(live: Live) -> None:
    for voice_id in ("alba", "cosette"):
        assert (await refusal(create(live.stub, voice_id))).reason == "VOICE_BUILT_IN"
        request = speech_pb2.DeleteVoiceRequest(voice_id=voice_id)
        assert (await refusal(live.stub.DeleteVoice(request))).reason == "VOICE_BUILT_IN"
