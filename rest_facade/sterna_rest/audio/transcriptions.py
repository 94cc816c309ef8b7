"""`/v1/audio/transcriptions` and `/v1/audio/translations`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request
from pydantic_core import to_json
from starlette.responses import PlainTextResponse, Response

from sterna.v1.speech_pb2 import TranscribeResponse
from sterna_rest.audio.call import SpeechCalls, SpeechStream
from sterna_rest.audio.schemas import (
    TRANSCRIPT_EXAMPLE,
    Transcript,
    TranscriptFormat,
    TranscriptionForm,
    TranslationForm,
)
from sterna_rest.audio.transcode import (
    recognition_config,
    srt,
    text_delta,
    text_done,
    transcript,
    verbose_transcript,
    vtt,
)
from sterna_rest.core import CoreLink, core_link
from sterna_rest.http.disconnect import unless_client_leaves
from sterna_rest.http.event_stream import EventStream
from sterna_rest.http.openapi import EVENT_SCHEMA, error_documentation

router = APIRouter(tags=["audio"])

_RESPONSES: dict[int | str, Any] = {
    200: {
        "model": Transcript,
        "description": "The text; the other formats are plain text, subtitles, or a "
        "`VerboseTranscript`. With `stream`, events `transcript.text.delta` and "
        "`transcript.text.done`.",
        "content": {
            "application/json": {"example": TRANSCRIPT_EXAMPLE},
            "text/plain": {"schema": {"type": "string"}},
            "text/vtt": {"schema": {"type": "string"}},
            "text/event-stream": {"itemSchema": EVENT_SCHEMA},
        },
    },
    **error_documentation(400, 404, 408, 413, 422, 429, 500, 501, 503, 504, 507),
}


@router.post(
    "/v1/audio/transcriptions",
    operation_id="createTranscription",
    summary="Turn speech into text",
    response_model=None,
    responses=_RESPONSES,
)
async def create_transcription(
    request: Request,
    form: Annotated[TranscriptionForm, Form(media_type="multipart/form-data")],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """The text of a recording, in the language spoken."""
    config = recognition_config(form)
    calls = SpeechCalls(core, request)
    if form.stream:
        events = calls.transcribe_stream(config, form.file)
        # The first event says nothing to the client; a refusal in its place is a status.
        await unless_client_leaves(request, events.first())
        return EventStream(
            _event_bytes(events),
            keepalive_seconds=core.options.keepalive_seconds,
            on_close=events.cancel,
        )
    response = await unless_client_leaves(request, calls.transcribe(config, form.file))
    return _answer(response, form.response_format, "transcribe", form.timestamp_granularities)


@router.post(
    "/v1/audio/translations",
    operation_id="createTranslation",
    summary="Turn speech into English text",
    response_model=None,
    responses=_RESPONSES,
)
async def create_translation(
    request: Request,
    form: Annotated[TranslationForm, Form(media_type="multipart/form-data")],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """The text of a recording, in English. Needs a model that knows several languages."""
    work = SpeechCalls(core, request).transcribe(recognition_config(form), form.file)
    response = await unless_client_leaves(request, work)
    return _answer(response, form.response_format, "translate", [])


def _answer(
    response: TranscribeResponse,
    form: TranscriptFormat,
    task: Literal["transcribe", "translate"],
    granularities: list[Literal["word", "segment"]],
) -> Response:
    match form:
        case "text":
            return PlainTextResponse(f"{response.text}\n")
        case "srt":
            return PlainTextResponse(srt(response))
        case "vtt":
            return PlainTextResponse(vtt(response), media_type="text/vtt")
        case "verbose_json":
            body = verbose_transcript(response, task, granularities)
        case "json":
            body = transcript(response)
    return Response(to_json(body), media_type="application/json")


async def _event_bytes(events: SpeechStream) -> AsyncGenerator[bytes]:
    begun = False
    async for event in events:
        if event.WhichOneof("event") == "segment":
            # The parts put together are the whole text.
            yield text_delta(event.segment.text if begun else event.segment.text.lstrip())
            begun = True
        elif event.WhichOneof("event") == "done":
            yield text_done(event.done.text, event.done.audio_duration)
