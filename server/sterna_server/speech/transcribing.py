"""`sterna transcribe`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from pydantic_core import to_json

from sterna.v1 import recognition_pb2, speech_pb2
from sterna_rest.audio.languages import language_code
from sterna_rest.audio.transcode import srt, transcript, vtt
from sterna_server.errors import CommandError
from sterna_server.settings import Settings
from sterna_server.speech.connection import Speech, run

Form = Literal["text", "json", "srt", "vtt"]

_PART_BYTES = 64 * 1024


def transcribe(
    settings: Settings, path: Path, *, model: str, language: str, translate: bool, form: Form
) -> str:
    """The text of a recording in the form that is wanted. Raises `CommandError`."""
    config = recognition_pb2.RecognitionConfig(
        model_id=model,
        language=language_code(language),
        task=(
            recognition_pb2.RECOGNITION_TASK_TRANSLATE
            if translate
            else recognition_pb2.RECOGNITION_TASK_TRANSCRIBE
        ),
    )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None

    async def messages() -> AsyncIterator[speech_pb2.TranscribeRequest]:
        yield speech_pb2.TranscribeRequest(config=config)
        for begin in range(0, len(data), _PART_BYTES):
            yield speech_pb2.TranscribeRequest(audio=data[begin : begin + _PART_BYTES])

    async def work(speech: Speech) -> speech_pb2.TranscribeResponse:
        answer = await speech.stub.Transcribe(messages(), **speech.options)
        assert isinstance(answer, speech_pb2.TranscribeResponse)
        return answer

    response = run(settings, work)
    match form:
        case "text":
            return response.text
        case "json":
            return to_json(transcript(response), indent=2).decode()
        case "srt":
            return srt(response).rstrip("\n")
        case "vtt":
            return vtt(response).rstrip("\n")
