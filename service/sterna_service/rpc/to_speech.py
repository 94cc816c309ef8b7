"""Messages of SpeechService as what `sterna_service.speech` takes: pure functions and readers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sterna.v1 import audio_pb2, recognition_pb2, speech_pb2
from sterna_service.errors import ServiceError, invalid, out_of_range
from sterna_service.speech.synthesis import Flush
from sterna_service.speech.types import (
    Encoding,
    LiveFormat,
    RecognitionRequest,
    SynthesisRequest,
    Task,
)

_ENCODINGS = {
    audio_pb2.AUDIO_ENCODING_UNSPECIFIED: Encoding.WAV,
    audio_pb2.AUDIO_ENCODING_PCM_S16LE: Encoding.PCM,
    audio_pb2.AUDIO_ENCODING_WAV: Encoding.WAV,
    audio_pb2.AUDIO_ENCODING_MP3: Encoding.MP3,
    audio_pb2.AUDIO_ENCODING_OPUS: Encoding.OPUS,
    audio_pb2.AUDIO_ENCODING_AAC: Encoding.AAC,
    audio_pb2.AUDIO_ENCODING_FLAC: Encoding.FLAC,
}
_TASKS = {
    recognition_pb2.RECOGNITION_TASK_UNSPECIFIED: Task.TRANSCRIBE,
    recognition_pb2.RECOGNITION_TASK_TRANSCRIBE: Task.TRANSCRIBE,
    recognition_pb2.RECOGNITION_TASK_TRANSLATE: Task.TRANSLATE,
}
_LIVE_RATES = (8000, 48_000)
_DEFAULT_LIVE_RATE = 16_000


async def first_config(requests: AsyncIterator[Any]) -> Any:
    """The `config` of the first message.

    Raises:
        ServiceError: The stream is empty or begins with something else.
    """
    first = await anext(requests, None)
    if first is None or first.WhichOneof("payload") != "config":
        raise invalid("config", "must come first, in a message of its own")
    return first.config


async def audio_parts(requests: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """The audio in the messages after the first one."""
    async for request in requests:
        if request.WhichOneof("payload") != "audio":
            raise _only("audio")
        yield request.audio


async def text_parts(
    requests: AsyncIterator[speech_pb2.StreamSynthesizeRequest],
) -> AsyncIterator[str | Flush]:
    """The text in the messages after the first one."""
    async for request in requests:
        match request.WhichOneof("payload"):
            case "text":
                yield request.text
            case "flush":
                yield Flush()
            case _:
                raise _only("text and flush")


def recognition_request(config: recognition_pb2.RecognitionConfig) -> RecognitionRequest:
    """How to recognise. Raises `ServiceError`."""
    task = _TASKS.get(config.task)
    if task is None:
        raise invalid("config.task", "must be TRANSCRIBE or TRANSLATE")
    filter_given = config.HasField("voice_activity_filter")
    return RecognitionRequest(
        model=config.model_id,
        task=task,
        language=config.language,
        prompt=config.prompt,
        temperature=config.temperature if config.HasField("temperature") else 0.0,
        word_timestamps=config.word_timestamps,
        voice_activity_filter=config.voice_activity_filter if filter_given else True,
    )


def live_format(config: recognition_pb2.RecognitionConfig) -> LiveFormat | None:
    """The format of live audio; None when a file follows. Raises `ServiceError`."""
    if config.encoding == audio_pb2.AUDIO_ENCODING_UNSPECIFIED:
        return None
    if config.encoding != audio_pb2.AUDIO_ENCODING_PCM_S16LE:
        raise invalid("config.encoding", "must be PCM_S16LE for live audio, or left out for a file")
    rate = config.sample_rate_hertz or _DEFAULT_LIVE_RATE
    if not _LIVE_RATES[0] <= rate <= _LIVE_RATES[1]:
        raise out_of_range("config.sample_rate_hertz", "8000 to 48000", rate)
    channels = config.channel_count or 1
    if channels not in (1, 2):
        raise out_of_range("config.channel_count", "1 or 2", channels)
    return LiveFormat(rate, channels, config.interim_results)


def synthesis_request(config: speech_pb2.SynthesisConfig) -> SynthesisRequest:
    """How to speak. Raises `ServiceError`."""
    encoding = _ENCODINGS.get(config.encoding)
    if encoding is None:
        raise invalid("config.encoding", "must be one of the values of AudioEncoding")
    return SynthesisRequest(
        model=config.model_id,
        voice=config.voice_id,
        encoding=encoding,
        sample_rate=config.sample_rate_hertz,
        speed=config.speed if config.HasField("speed") else 1.0,
    )


def _only(what: str) -> ServiceError:
    return invalid("payload", f"must be {what} after the first message")
