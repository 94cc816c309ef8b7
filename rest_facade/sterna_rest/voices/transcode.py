"""Voices of the protocol as JSON. Pure functions."""

from __future__ import annotations

from typing import Any

from sterna.v1.speech_pb2 import Voice


def voice_object(voice: Voice) -> dict[str, Any]:
    """A voice."""
    sample = voice.sample_duration
    return {
        "id": voice.voice_id,
        "object": "voice",
        "voice_id": voice.voice_id,
        "type": "predefined" if voice.built_in else "custom",
        "engine": voice.engine,
        "usable": voice.usable,
        "languages": list(voice.languages),
        "created_at": voice.create_time.seconds if voice.HasField("create_time") else None,
        "sample_seconds": (
            round(sample.seconds + sample.nanos / 1e9, 3)
            if voice.HasField("sample_duration")
            else None
        ),
        "consent_at": voice.consent_time.seconds if voice.HasField("consent_time") else None,
    }


def voice_list(voices: list[Voice]) -> dict[str, Any]:
    """All of them."""
    return {
        "object": "list",
        "data": [voice_object(voice) for voice in voices],
        "voices": [voice.voice_id for voice in voices],
    }


def voice_parameter(field: str) -> str:
    """The HTTP name of a field of the protocol."""
    return field.removeprefix("config.")
