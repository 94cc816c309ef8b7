"""What is measured and traced of speech."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sterna.v1 import recognition_pb2, speech_pb2, speech_pb2_grpc
from sterna_service.app import CoreOptions, start_core
from sterna_service.speech.options import SpeechOptions
from sterna_service.telemetry.otel import CallTracing
from tests.support.dialogue import Talk
from tests.support.metrics import Scrape, scrape
from tests.support.speech import messages, recording
from tests.voice.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 120.0
TEXT = "Terns fly from one end of the world to the other."


Told = tuple[Scrape, list[ReadableSpan], float, float]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(voice_home: Path) -> AsyncIterator[Told]:
    """The metrics and the spans of a transcription and a synthesis, and their audio in seconds."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    options = CoreOptions(
        home=voice_home,
        port=0,
        threads=1,
        speech=SpeechOptions(recognition_model="digits"),
        tracing=CallTracing(provider),
    )
    core = await start_core(options)
    try:
        async with grpc.aio.insecure_channel(core.address) as channel:
            stub = speech_pb2_grpc.SpeechServiceStub(channel)
            config = recognition_pb2.RecognitionConfig(language="en")
            upload = messages(speech_pb2.TranscribeRequest, config, recording(7))
            answer = await stub.Transcribe(upload, timeout=PATIENCE)
            request = speech_pb2.SynthesizeRequest(text=TEXT)
            events = [event async for event in stub.Synthesize(request, timeout=PATIENCE)]
        heard = answer.audio_duration.ToTimedelta().total_seconds()
        spoken = events[-1].done.audio_duration.ToTimedelta().total_seconds()
        yield scrape(core.metrics.registry), list(exporter.get_finished_spans()), heard, spoken
    finally:
        await core.stop(0)


async def test_audio_and_the_real_time_factor_are_measured(told: Told) -> None:
    page, spans, heard, spoken = told
    for operation, seconds in (("recognition", heard), ("synthesis", spoken)):
        audio = page.value("sterna_speech_audio_seconds_total", operation=operation)
        assert audio == pytest.approx(seconds, abs=0.01)
        factors = "sterna_speech_real_time_factor"
        assert page.value(f"{factors}_count", operation=operation) == 1
        busy = page.value("sterna_speech_worker_busy_seconds_total", worker=operation)
        # The load of the model took the worker's time, and is not of this audio.
        loaded = sum(
            (span.end_time or 0) - (span.start_time or 0)
            for span in spans
            if span.name == f"{operation} load"
        )
        assert loaded > 0
        computed = page.value(f"{factors}_sum", operation=operation) * seconds
        assert computed + loaded / 1e9 == pytest.approx(busy, rel=0.05)
        assert page.value("sterna_speech_worker_up", worker=operation) == 1
        assert page.value("sterna_speech_worker_starts_total", worker=operation) == 1
        assert page.value("sterna_speech_worker_requests", worker=operation) == 0
        memory = page.value("sterna_speech_worker_resident_memory_bytes", worker=operation)
        assert memory > 1_000_000


async def test_the_steps_of_the_workers_are_spans_of_their_call(told: Told) -> None:
    _, spans, _, _ = told
    calls = {span.name: span for span in spans if span.parent is None}
    assert set(calls) == {
        "sterna.v1.SpeechService/Transcribe",
        "sterna.v1.SpeechService/Synthesize",
    }
    parents = {call.context.span_id: name for name, call in calls.items() if call.context}
    below: dict[str, set[str]] = {name: set() for name in calls}
    for span in spans:
        if span.parent is not None:
            below[parents[span.parent.span_id]].add(span.name)
    assert {"recognition decode", "recognition next"} <= below["sterna.v1.SpeechService/Transcribe"]
    assert {"synthesis open", "synthesis say"} <= below["sterna.v1.SpeechService/Synthesize"]
    for span in spans:
        values = " ".join(str(value) for value in (span.attributes or {}).values())
        assert "Terns" not in values
        assert "seven" not in values


async def test_the_turns_of_a_conversation_count_as_requests(live: Live) -> None:
    registry = live.core.metrics.registry
    before = scrape(registry)
    talk = Talk(live.stub)
    talk.say(7, 3, 1)
    talk.end()
    await talk.rest()
    after = scrape(registry)

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert grown("gen_ai_server_request_duration_seconds_count", error_type="") == 1
    assert grown("gen_ai_server_time_to_first_token_seconds_count") == 1
    usage = talk.all("turn_done")[0].usage
    assert grown("sterna_tokens_total", gen_ai_token_type="output") == usage.completion_token_count
    assert grown("sterna_speech_audio_seconds_total", operation="recognition") > 1
    assert grown("sterna_speech_audio_seconds_total", operation="synthesis") > 0.5
