"""`/v1/audio/speech` and `/v1/tts`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from sterna.v1.speech_pb2 import SynthesizeRequest
from sterna_rest.audio.call import SpeechCalls, SpeechStream
from sterna_rest.audio.schemas import SPEECH_EXAMPLES, TTS_EXAMPLES, SpeechRequest, TtsRequest
from sterna_rest.audio.transcode import (
    MEDIA_TYPES,
    audio_delta,
    audio_done,
    synthesize_request,
    wav_file,
)
from sterna_rest.core import CoreLink, core_link
from sterna_rest.generation.unsupported import ignored_headers
from sterna_rest.http.byte_stream import ByteStream
from sterna_rest.http.disconnect import unless_client_leaves
from sterna_rest.http.event_stream import EventStream
from sterna_rest.http.openapi import EVENT_SCHEMA, error_documentation
from sterna_rest.http.strict_json import JsonRoute

router = APIRouter(tags=["audio"], route_class=JsonRoute)

_ERRORS = error_documentation(400, 404, 413, 415, 422, 429, 500, 501, 503, 504, 507)
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/v1/audio/speech",
    operation_id="createSpeech",
    summary="Speak a text",
    response_class=Response,
    response_model=None,
    responses={
        200: {
            "description": "The audio, as it is made; with `stream_format: sse`, events "
            "`speech.audio.delta` and `speech.audio.done`.",
            "content": {
                **dict.fromkeys(sorted(set(MEDIA_TYPES.values())), _BINARY),
                "text/event-stream": {"itemSchema": EVENT_SCHEMA},
            },
        },
        **_ERRORS,
    },
)
async def create_speech(
    request: Request,
    body: Annotated[SpeechRequest, Body(openapi_examples=SPEECH_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """The first bytes leave with the first 80 ms of audio."""
    events = SpeechCalls(core, request).synthesize(synthesize_request(body))
    # With the first one it is certain that audio follows; a refusal is still a status.
    first = await unless_client_leaves(request, events.first())
    headers = ignored_headers(body.unknown_fields())
    headers["x-tts-engine"] = _engine(first.started.model_id)
    if body.stream_format == "sse":
        return EventStream(
            _audio_events(events),
            keepalive_seconds=core.options.keepalive_seconds,
            on_close=events.cancel,
            headers=headers,
        )
    media_type = MEDIA_TYPES[body.response_format or "wav"]
    return ByteStream(
        _audio_bytes(events), media_type=media_type, on_close=events.cancel, headers=headers
    )


@router.post(
    "/v1/tts",
    operation_id="createTts",
    summary="Speak a text, as a whole WAV file",
    response_class=Response,
    response_model=None,
    responses={200: {"description": "WAV.", "content": {"audio/wav": _BINARY}}, **_ERRORS},
)
async def create_tts(
    request: Request,
    body: Annotated[TtsRequest, Body(openapi_examples=TTS_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """`/v1/audio/speech` is its streaming sibling."""
    work = _whole(SpeechCalls(core, request), synthesize_request(body))
    return Response(
        await unless_client_leaves(request, work),
        media_type="audio/wav",
        headers=ignored_headers(body.unknown_fields()),
    )


def _engine(model_id: str) -> str:
    """What spoke: a program of that name, or the library of all models."""
    return model_id if model_id == "espeak-ng" else "pocket-tts"


async def _whole(calls: SpeechCalls, message: SynthesizeRequest) -> bytes:
    samples: list[bytes] = []
    rate = 0
    events = calls.synthesize(message)
    try:
        async for event in events:
            if event.WhichOneof("event") == "started":
                rate = event.started.sample_rate_hertz
            elif event.audio:
                samples.append(event.audio)
    finally:
        events.cancel()
    return wav_file(b"".join(samples), rate)


async def _audio_bytes(events: SpeechStream) -> AsyncGenerator[bytes]:
    async for event in events:
        if event.audio:
            yield event.audio


async def _audio_events(events: SpeechStream) -> AsyncGenerator[bytes]:
    async for event in events:
        if event.audio:
            yield audio_delta(event.audio)
        elif event.WhichOneof("event") == "done":
            yield audio_done(event.done.audio_duration)
