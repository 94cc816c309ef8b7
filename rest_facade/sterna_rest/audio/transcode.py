"""Audio bodies ↔ protocol. Pure functions."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterable
from typing import Any, Literal

from google.protobuf.duration_pb2 import Duration

from sterna.v1.audio_pb2 import (
    AUDIO_ENCODING_AAC,
    AUDIO_ENCODING_FLAC,
    AUDIO_ENCODING_MP3,
    AUDIO_ENCODING_OPUS,
    AUDIO_ENCODING_PCM_S16LE,
    AUDIO_ENCODING_WAV,
)
from sterna.v1.recognition_pb2 import (
    RECOGNITION_TASK_TRANSCRIBE,
    RECOGNITION_TASK_TRANSLATE,
    RecognitionConfig,
    Segment,
    Word,
)
from sterna.v1.speech_pb2 import SynthesisConfig, SynthesizeRequest, TranscribeResponse
from sterna_rest.audio.languages import language_code, language_name
from sterna_rest.audio.schemas import (
    SpeechRequest,
    TranscriptionForm,
    TranslationForm,
    TtsRequest,
)
from sterna_rest.errors import ApiError
from sterna_rest.http.sse import named_event

ENCODINGS = {
    "pcm": AUDIO_ENCODING_PCM_S16LE,
    "wav": AUDIO_ENCODING_WAV,
    "mp3": AUDIO_ENCODING_MP3,
    "opus": AUDIO_ENCODING_OPUS,
    "aac": AUDIO_ENCODING_AAC,
    "flac": AUDIO_ENCODING_FLAC,
}
MEDIA_TYPES = {
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
}
_PARAMETERS = {
    "config.model_id": "model",
    "config.language": "language",
    "config.prompt": "prompt",
    "config.temperature": "temperature",
    "config.task": "model",
    "config.voice_id": "voice",
    "config.speed": "speed",
    "text": "input",
}


def audio_parameter(field: str) -> str:
    """The HTTP name of a field of the protocol."""
    return _PARAMETERS.get(field, field)


def recognition_config(form: TranscriptionForm | TranslationForm) -> RecognitionConfig:
    """How to recognise. Raises `ApiError` for fields that do not go together."""
    config = RecognitionConfig(
        model_id=form.model,
        task=RECOGNITION_TASK_TRANSLATE,
        prompt=form.prompt,
        temperature=form.temperature,
    )
    if isinstance(form, TranscriptionForm):
        config.task = RECOGNITION_TASK_TRANSCRIBE
        config.language = language_code(form.language)
        if form.timestamp_granularities and form.response_format != "verbose_json":
            raise ApiError(
                400,
                "`timestamp_granularities[]` needs `response_format=verbose_json`.",
                code="invalid_value",
                param="timestamp_granularities[]",
            )
        if form.stream and form.response_format not in ("json", "text"):
            raise ApiError(
                400,
                "`stream` needs `response_format` json or text.",
                code="invalid_value",
                param="stream",
            )
        config.word_timestamps = "word" in form.timestamp_granularities
    return config


def transcript(response: TranscribeResponse) -> dict[str, Any]:
    """The `json` body."""
    return {
        "text": response.text,
        "language": response.info.language,
        "duration": seconds(response.audio_duration),
        "segments": [_times(segment) for segment in response.segments],
        "usage": duration_usage(response.audio_duration),
    }


def verbose_transcript(
    response: TranscribeResponse,
    task: Literal["transcribe", "translate"],
    granularities: Iterable[str],
) -> dict[str, Any]:
    """The `verbose_json` body."""
    wanted = set(granularities) or {"segment"}
    # A translation is English; what was spoken is told all the same.
    body: dict[str, Any] = {
        "task": task,
        "language": language_name(response.info.language),
        "duration": seconds(response.audio_duration),
        "text": response.text,
    }
    if "segment" in wanted:
        body["segments"] = [_verbose(segment) for segment in response.segments]
    if "word" in wanted:
        words = (word for segment in response.segments for word in segment.words)
        body["words"] = [_word(word) for word in words]
    return body | {"usage": duration_usage(response.audio_duration)}


def srt(response: TranscribeResponse) -> str:
    """SubRip subtitles."""
    cues = (
        f"{index}\n{_clock(segment.start_offset, ',')} --> {_clock(segment.end_offset, ',')}\n"
        f"{segment.text.strip()}\n\n"
        for index, segment in enumerate(response.segments, 1)
    )
    return "".join(cues)


def vtt(response: TranscribeResponse) -> str:
    """WebVTT subtitles."""
    cues = (
        f"{_clock(segment.start_offset, '.')} --> {_clock(segment.end_offset, '.')}\n"
        # An arrow within a cue would begin another one.
        f"{segment.text.strip().replace('-->', '->')}\n\n"
        for segment in response.segments
    )
    return "WEBVTT\n\n" + "".join(cues)


def text_delta(text: str) -> bytes:
    """More of a transcript, as an event."""
    return named_event("transcript.text.delta", {"type": "transcript.text.delta", "delta": text})


def text_done(text: str, duration: Duration) -> bytes:
    """The whole transcript, as the last event."""
    body = {
        "type": "transcript.text.done",
        "text": text,
        "usage": duration_usage(duration),
    }
    return named_event("transcript.text.done", body)


def synthesize_request(body: SpeechRequest | TtsRequest) -> SynthesizeRequest:
    """What to say and how."""
    if isinstance(body, TtsRequest):
        config = SynthesisConfig(
            model_id=body.model or "",
            voice_id=body.voice or "",
            # Samples alone: with the whole length known, the header can say it.
            encoding=AUDIO_ENCODING_PCM_S16LE,
        )
        return SynthesizeRequest(config=config, text=body.text)
    config = SynthesisConfig(
        model_id=body.model or "",
        voice_id=body.voice_id(),
        encoding=ENCODINGS[body.response_format or "wav"],
    )
    if body.speed is not None:
        config.speed = body.speed
    return SynthesizeRequest(config=config, text=body.input)


def audio_delta(data: bytes) -> bytes:
    """More of the audio, as an event."""
    body = {"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()}
    return named_event("speech.audio.delta", body)


def audio_done(duration: Duration) -> bytes:
    """The last event."""
    return named_event(
        "speech.audio.done", {"type": "speech.audio.done", "usage": duration_usage(duration)}
    )


def wav_file(samples: bytes, rate: int) -> bytes:
    """Mono 16-bit samples with a header that gives their length."""
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(samples),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        rate,
        2 * rate,
        2,
        16,
        b"data",
        len(samples),
    )
    return header + samples


def duration_usage(duration: Duration) -> dict[str, Any]:
    """Seconds of audio, rounded up as they are billed elsewhere."""
    return {"type": "duration", "seconds": math.ceil(seconds(duration))}


def seconds(duration: Duration) -> float:
    """A duration in seconds, to the millisecond."""
    return round(duration.seconds + duration.nanos / 1e9, 3)


def _times(segment: Segment) -> dict[str, Any]:
    return {
        "start": seconds(segment.start_offset),
        "end": seconds(segment.end_offset),
        "text": segment.text.strip(),
    }


def _verbose(segment: Segment) -> dict[str, Any]:
    return {
        "id": segment.index,
        # In frames of 10 ms, as Whisper counts.
        "seek": round(seconds(segment.start_offset) * 100),
        **_times(segment),
        "tokens": list(segment.token_ids),
        "temperature": round(segment.temperature, 3),
        "avg_logprob": segment.average_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_probability,
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": word.text.strip(),
        "start": seconds(word.start_offset),
        "end": seconds(word.end_offset),
    }


def _clock(offset: Duration, point: str) -> str:
    milliseconds = round(seconds(offset) * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, part = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{part:03}"
