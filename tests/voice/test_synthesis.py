"""Text to speech over gRPC: format, length, order and time; the weights are random."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import grpc
import pytest

from sterna.v1 import audio_pb2, speech_pb2
from tests.support.core import refusal
from tests.support.speech import paused, until
from tests.voice.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 120.0
TEXT = "Terns fly from one end of the world to the other. They see more daylight than any bird."

PCM = audio_pb2.AUDIO_ENCODING_PCM_S16LE


async def synthesize(live: Live, text: str = TEXT, **config: Any) -> list[Any]:
    request = speech_pb2.SynthesizeRequest(config=speech_pb2.SynthesisConfig(**config), text=text)
    return [event async for event in live.stub.Synthesize(request, timeout=PATIENCE)]


def audio(events: list[Any]) -> bytes:
    return b"".join(event.audio for event in events)


def decoded_seconds(data: bytes) -> float:
    import av

    with av.open(io.BytesIO(data)) as container:
        frames = [frame.samples / frame.sample_rate for frame in container.decode(audio=0)]
    return float(sum(frames))


def done_seconds(events: list[Any]) -> float:
    return float(events[-1].done.audio_duration.ToTimedelta().total_seconds())


async def test_audio_comes_frame_by_frame_between_started_and_done(live: Live) -> None:
    events = await synthesize(live, encoding=PCM)
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "done"
    assert set(kinds[1:-1]) == {"audio"}
    started = events[0].started
    assert (started.model_id, started.voice_id) == ("english", "alba")
    assert (started.sample_rate_hertz, started.channel_count) == (24_000, 1)
    # The first frame leaves alone; none of the parts holds more than four.
    frame = 1920 * 2
    sizes = [len(event.audio) for event in events[1:-1] if event.audio]
    assert sizes[0] == frame
    assert all(size % frame == 0 and size <= 4 * frame for size in sizes)
    assert done_seconds(events) == pytest.approx(sum(sizes) / 48_000)
    assert events[-1].done.character_count == len(TEXT)


@pytest.mark.parametrize(
    ("encoding", "rate", "magic"),
    [
        ("WAV", 24_000, b"RIFF\xff\xff\xff\xff"),
        ("MP3", 24_000, b"\xff\xf3"),
        ("OPUS", 48_000, b"OggS"),
        ("AAC", 24_000, b"\xff\xf1"),
        ("FLAC", 24_000, b"fLaC"),
    ],
)
async def test_every_encoding_decodes_to_its_length(
    live: Live, encoding: str, rate: int, magic: bytes
) -> None:
    value = audio_pb2.AudioEncoding.Value(f"AUDIO_ENCODING_{encoding}")
    events = await synthesize(live, encoding=value)
    assert events[0].started.sample_rate_hertz == rate
    data = audio(events)
    assert data.startswith(magic)
    # Coders fill their last frame up.
    assert decoded_seconds(data) == pytest.approx(done_seconds(events), abs=0.15)
    assert done_seconds(events) > 1


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
async def test_other_sample_rates(live: Live, rate: int) -> None:
    events = await synthesize(live, "Hello.", encoding=PCM, sample_rate_hertz=rate)
    assert events[0].started.sample_rate_hertz == rate
    assert len(audio(events)) / 2 / rate == pytest.approx(done_seconds(events), abs=0.001)


async def test_speed_changes_the_length(live: Live) -> None:
    async def ratio(speed: float) -> float:
        # The length of random speech varies; the tempo is measured within one file.
        events = await synthesize(live, encoding=PCM, speed=speed)
        return done_seconds(events)

    slow, fast = await ratio(0.5), await ratio(2.0)
    assert slow > 1.5 * fast


async def test_two_voices_and_a_long_text_of_many_sentences(live: Live) -> None:
    events = await synthesize(live, TEXT * 8, voice_id="marius", encoding=PCM)
    assert events[0].started.voice_id == "marius"
    assert done_seconds(events) > 8


@pytest.mark.parametrize(
    ("text", "config", "reason"),
    [
        ("", {}, "INVALID_FIELD"),
        (" … !", {}, "INVALID_FIELD"),
        ("x" * 4097, {}, "FIELD_OUT_OF_RANGE"),
        ("Hi", {"speed": 0.1}, "FIELD_OUT_OF_RANGE"),
        ("Hi", {"sample_rate_hertz": 100}, "FIELD_OUT_OF_RANGE"),
        ("Hi", {"sample_rate_hertz": 24_000, "encoding": 4}, "INVALID_FIELD"),
        ("Hi", {"sample_rate_hertz": 9999, "encoding": 3}, "INVALID_FIELD"),
        ("Hi", {"encoding": 77}, "INVALID_FIELD"),
        ("Hi", {"voice_id": "nobody"}, "VOICE_NOT_FOUND"),
        ("Hi", {"voice_id": "../../etc/passwd"}, "VOICE_NOT_FOUND"),
        ("Hi", {"voice_id": "https://example.org/v.wav"}, "VOICE_NOT_FOUND"),
        ("Hi", {"voice_id": "cosette"}, "SPEECH_WEIGHTS_MISSING"),
        ("Hi", {"model_id": "nope"}, "MODEL_NOT_FOUND"),
        ("Hi", {"model_id": "french"}, "SPEECH_WEIGHTS_MISSING"),
    ],
)
async def test_bad_requests_are_refused(
    live: Live, text: str, config: dict[str, Any], reason: str
) -> None:
    assert (await refusal(synthesize(live, text, **config))).reason == reason


async def test_text_that_is_still_written_is_spoken_by_sentences(live: Live) -> None:
    first_heard = asyncio.Event()

    async def written() -> Any:
        kind = speech_pb2.StreamSynthesizeRequest
        yield kind(config=speech_pb2.SynthesisConfig(encoding=PCM))
        for part in ("The first sen", "tence ends here. And the sec", "ond"):
            yield kind(text=part)
        # The second sentence is not over; the first one must be heard before it is.
        await asyncio.wait_for(first_heard.wait(), PATIENCE)
        yield kind(text=" one")
        yield kind(flush=speech_pb2.SpeakNow())

    events = []
    async for event in live.stub.StreamSynthesize(written(), timeout=PATIENCE):
        events.append(event)
        if event.audio:
            first_heard.set()
    kinds = [event.WhichOneof("event") for event in events]
    assert (kinds[0], kinds[-1]) == ("started", "done")
    written_text = "The first sentence ends here. And the second one"
    assert events[-1].done.character_count == len(written_text)


async def test_a_cancelled_synthesis_stops_the_work(live: Live) -> None:
    long = speech_pb2.SynthesizeRequest(
        config=speech_pb2.SynthesisConfig(encoding=PCM), text=(TEXT * 60)[:4000]
    )
    call = live.stub.Synthesize(long, timeout=PATIENCE)
    async for event in call:
        if event.audio:
            break
    call.cancel()
    # The next one gets its turn at once and not after 4000 characters.
    async with asyncio.timeout(60):
        events = await synthesize(live, "Hello.", encoding=PCM)
    assert events[-1].WhichOneof("event") == "done"
    await until(lambda: not live.speech.synthesizer.requests)


async def test_clients_that_do_not_read_keep_nobody_waiting(live: Live) -> None:
    request = speech_pb2.SynthesizeRequest(
        config=speech_pb2.SynthesisConfig(encoding=PCM), text=(TEXT * 60)[:4000]
    )
    # As many as the queue holds; each has more audio than the connection buffers.
    calls = [live.stub.Synthesize(request, timeout=PATIENCE) for _ in range(3)]
    for call in calls:
        await call.read()
    await until(lambda: not live.speech.synthesizer.requests)
    events = await synthesize(live, "Hello.", encoding=PCM)
    assert events[-1].WhichOneof("event") == "done"
    for call in calls:
        call.cancel()


async def test_one_request_too_many_is_refused(live: Live) -> None:
    worker = live.speech.synthesizer
    await synthesize(live, "Hello.")  # the process runs
    with paused(worker):
        waiting = [asyncio.create_task(synthesize(live)) for _ in range(3)]
        await until(lambda: worker.requests == 3)  # one is served, two wait
        told = await refusal(synthesize(live, "Hi"))
    assert told.reason == "QUEUE_FULL"
    assert told.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert told.retry_seconds
    for events in await asyncio.gather(*waiting):
        assert events[-1].WhichOneof("event") == "done"


async def test_two_texts_at_once_both_come_through(live: Live) -> None:
    both = await asyncio.gather(
        synthesize(live, TEXT * 4, encoding=PCM), synthesize(live, TEXT * 4, encoding=PCM)
    )
    for events in both:
        assert len(audio(events)) / 48_000 == pytest.approx(done_seconds(events))
