"""Speech to text over gRPC: what was said, when, and every refusal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from sterna.v1 import audio_pb2, recognition_pb2, speech_pb2
from sterna_service.models.events import EventKind
from sterna_service.speech import listening
from sterna_service.speech.types import (
    LiveFormat,
    RecognitionDone,
    RecognitionRequest,
    RecognitionStarted,
    Segment,
)
from tests.support.core import Refusal, refusal
from tests.support.speech import (
    CONTAINERS,
    DATA,
    WORDS,
    coded,
    float_wav,
    messages,
    recording,
    silent_flac,
    spoken,
    wav,
)
from tests.voice.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 120.0


async def transcribe(live: Live, data: bytes, **config: Any) -> speech_pb2.TranscribeResponse:
    request = recognition_pb2.RecognitionConfig(**{"language": "en", **config})
    upload = messages(speech_pb2.TranscribeRequest, request, data)
    return await live.stub.Transcribe(upload, timeout=PATIENCE)


async def refused(live: Live, data: bytes, **config: Any) -> Refusal:
    return await refusal(transcribe(live, data, **config))


async def stream(live: Live, data: bytes, size: int = 64 * 1024, **config: Any) -> list[Any]:
    request = recognition_pb2.RecognitionConfig(**{"language": "en", **config})
    upload = messages(speech_pb2.StreamTranscribeRequest, request, data, size)
    return [event async for event in live.stub.StreamTranscribe(upload, timeout=PATIENCE)]


async def test_spoken_digits_are_recognised(live: Live) -> None:
    heard = [(await transcribe(live, recording(digit))).text for digit in range(10)]
    # Seven of ten by chance: less than one in a hundred thousand.
    assert sum(word == text for word, text in zip(WORDS, heard, strict=True)) >= 7, heard


async def test_a_recording_of_several_digits_has_segments_and_words(live: Live) -> None:
    answer = await transcribe(live, wav(spoken([7, 3, 1])), word_timestamps=True)
    assert answer.text == "seven three one"
    assert answer.info.model_id == "digits"
    assert (answer.info.language, answer.info.language_probability) == ("en", 1.0)
    seconds = answer.audio_duration.ToTimedelta().total_seconds()
    assert seconds == pytest.approx(len(spoken([7, 3, 1])) / 16_000, abs=0.01)
    words = [word for segment in answer.segments for word in segment.words]
    assert [word.text.strip() for word in words] == ["seven", "three", "one"]
    ends = [word.end_offset.ToTimedelta().total_seconds() for word in words]
    assert ends == sorted(ends)
    assert ends[-1] <= seconds


async def test_the_language_is_detected_when_none_is_given(live: Live) -> None:
    answer = await transcribe(live, recording(5), language="")
    assert answer.info.language == "en"
    assert 0 < answer.info.language_probability <= 1


async def test_a_transcription_is_told_to_those_who_watch(live: Live) -> None:
    log = live.core._models.events
    before = log.revision
    answer = await transcribe(live, recording(1))
    watch = log.watch(before, (EventKind.TRANSCRIPTION_COMPLETED,), 60)
    assert await anext(watch) is None
    event = await anext(watch)
    assert event is not None
    assert event.transcription_id == answer.info.transcription_id
    assert event.model_id == "digits"


async def test_a_stream_of_a_file_begins_with_started_and_ends_with_done(live: Live) -> None:
    events = await stream(live, wav(spoken([2, 4])))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "done"
    assert set(kinds[1:-1]) == {"segment"}
    assert events[-1].done.text == "two four"


async def test_live_audio_brings_activity_and_a_segment_per_utterance(live: Live) -> None:
    audio = spoken([7, 3], pause=0.1) + bytes(16_000) + spoken([1]) + bytes(16_000)
    events = await stream(
        live,
        audio,
        size=1600,
        encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE,
        sample_rate_hertz=8000,
    )
    kinds = [event.WhichOneof("event") for event in events]
    activity = [e.voice_activity for e in events if e.WhichOneof("event") == "voice_activity"]
    assert [each.type for each in activity][:2] == [1, 2]
    begins = [a.offset.ToTimedelta().total_seconds() for a in activity if a.type == 1]
    assert begins == sorted(begins)
    assert "segment" in kinds
    assert kinds[-1] == "done"
    assert "seven" in events[-1].done.text
    duration = events[-1].done.audio_duration.ToTimedelta().total_seconds()
    assert duration == pytest.approx(len(audio) / 16_000, abs=0.05)


async def test_a_client_that_reads_nothing_holds_up_nobody(live: Live) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield wav(spoken([7, 3, 1]))

    events = live.speech.recognition.transcribe(RecognitionRequest(language="en"), parts())
    async with contextlib.aclosing(events):
        assert isinstance(await anext(events), RecognitionStarted)
        assert (await transcribe(live, wav(spoken([7, 3, 1])))).text == "seven three one"
        last = [event async for event in events][-1]
    assert isinstance(last, RecognitionDone)
    assert last.text == "seven three one"


async def test_live_audio_waits_for_a_recogniser_that_is_behind(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_MOST_WAITING_SECONDS", 2.0)
    taken = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(20):
            taken += 1
            # An utterance, and silence that ends it: about a second and a half.
            yield spoken([7], pause=0.7)

    worker = live.speech.recognizer
    request = RecognitionRequest(language="en")
    heard = live.speech.recognition.listen(request, LiveFormat(sample_rate=8000), parts())
    async with contextlib.aclosing(heard) as events:
        assert isinstance(await anext(events), RecognitionStarted)
        # Somebody else's turn: what is heard cannot be recognised meanwhile.
        async with worker.turn(await worker.running()):
            begun = [await anext(events) for _ in range(3)]
            await asyncio.sleep(1.0)
            assert taken < 10
        rest = [event async for event in events]
    texts = [event.text for event in (*begun, *rest) if isinstance(event, Segment)]
    assert taken == 20
    assert len(texts) == 20


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"not audio at all " * 100, "no audio"),
        (wav(b""), "no audio"),
        (wav(spoken([1, 2, 3]))[:4000], "cut off"),
        ((DATA / "jfk.mp3").read_bytes()[:1], "no audio"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "no audio"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n", "no audio"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "no audio"),
        (float_wav([0.1, float("nan")] * 8000), "not numbers"),
        (float_wav([0.1, float("inf")] * 8000), "not numbers"),
    ],
    ids=["empty", "text", "header", "cut", "one-byte", "image", "hls", "concat", "nan", "inf"],
)
async def test_what_is_no_audio_is_refused_and_the_worker_lives(
    live: Live, data: bytes, says: str
) -> None:
    await transcribe(live, recording(1))
    before = live.speech.recognizer.pid
    told = await refused(live, data)
    assert told.reason == "AUDIO_UNREADABLE"
    assert told.code == grpc.StatusCode.INVALID_ARGUMENT
    assert says in told.message
    assert live.speech.recognizer.pid == before


async def test_an_hour_in_a_small_file_is_refused(live: Live) -> None:
    bomb = await asyncio.to_thread(silent_flac, 3600)
    assert len(bomb) < 1024 * 1024
    told = await refused(live, bomb)
    assert told.reason == "AUDIO_TOO_LONG"
    assert told.metadata == {"limit_seconds": "60"}
    assert (await transcribe(live, recording(1))).info.model_id == "digits"


async def test_an_upload_over_the_limit_is_refused_while_it_comes(live: Live) -> None:
    told = await refused(live, bytes(101 * 1024 * 1024))
    assert told.reason == "AUDIO_TOO_LARGE"
    assert told.code == grpc.StatusCode.INVALID_ARGUMENT
    assert told.metadata == {"limit_bytes": str(100 * 1024 * 1024)}


@pytest.mark.parametrize("ending", CONTAINERS)
async def test_every_kind_of_file_is_read(live: Live, ending: str) -> None:
    answer = await transcribe(live, coded(ending, spoken([7, 3, 1])))
    assert answer.text == "seven three one"
    seconds = answer.audio_duration.ToTimedelta().total_seconds()
    assert seconds == pytest.approx(len(spoken([7, 3, 1])) / 16_000, abs=0.15)


@pytest.mark.parametrize(
    ("config", "reason", "field"),
    [
        ({"temperature": 1.5}, "FIELD_OUT_OF_RANGE", "config.temperature"),
        ({"prompt": "x" * 5000}, "FIELD_OUT_OF_RANGE", "config.prompt"),
        ({"language": "klingon"}, "FIELD_UNSUPPORTED", "config.language"),
        ({"task": 99}, "INVALID_FIELD", "config.task"),
    ],
)
async def test_options_out_of_range_are_refused(
    live: Live, config: dict[str, Any], reason: str, field: str
) -> None:
    told = await refused(live, recording(1), **config)
    assert (told.reason, told.fields) == (reason, [field])


@pytest.mark.parametrize("name", ["nope", "../digits", "/etc", "Systran/faster-whisper-nope"])
async def test_unknown_models_are_not_found(live: Live, name: str) -> None:
    told = await refused(live, recording(1), model_id=name)
    assert told.reason == "MODEL_NOT_FOUND"
    assert "digits" in told.message


@pytest.mark.parametrize("name", ["base", "whisper-base", "Systran/faster-whisper-base"])
async def test_models_without_weights_name_the_command(live: Live, name: str) -> None:
    told = await refused(live, recording(1), model_id=name)
    assert told.reason == "SPEECH_WEIGHTS_MISSING"
    assert told.metadata == {"model": "base", "command": "sterna pull --voice base"}
    assert "sterna pull --voice base" in told.message


async def test_the_configuration_must_come_first(live: Live) -> None:
    async def wrong() -> Any:
        yield speech_pb2.TranscribeRequest(audio=b"x")

    told = await refusal(live.stub.Transcribe(wrong(), timeout=PATIENCE))
    assert (told.reason, told.fields) == ("INVALID_FIELD", ["config"])


async def test_an_upload_that_stalls_is_ended(live: Live) -> None:
    async def stalling() -> Any:
        yield speech_pb2.TranscribeRequest(config=recognition_pb2.RecognitionConfig())
        await asyncio.sleep(60)

    told = await refusal(live.stub.Transcribe(stalling(), timeout=PATIENCE))
    assert told.reason == "DEADLINE_EXCEEDED"
    assert "2 s" in told.message
