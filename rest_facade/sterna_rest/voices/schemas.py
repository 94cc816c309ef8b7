"""What `/v1/voices` takes and returns."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field


class VoiceForm(BaseModel):
    """A recording of somebody's voice."""

    model_config = ConfigDict(extra="ignore")

    voice_id: str = Field(
        description='1 to 64 of a-z, 0-9, "_" and "-"; the first one a letter or digit.'
    )
    file: UploadFile = Field(description="3 to 30 s of speech, at most 8 MiB.")
    consent: bool = Field(False, description="The person who speaks has agreed.")
    language: str = Field("", description="ISO 639-1 code of the language spoken.")


class VoiceObject(BaseModel):
    """A voice."""

    id: str
    object: Literal["voice"]
    voice_id: str
    type: Literal["predefined", "custom"]
    engine: str = Field(description="What speaks with it: `pocket-tts` or `espeak-ng`.")
    usable: bool = Field(description="It can be used with the installed weights.")
    languages: list[str]
    created_at: int | None = Field(description="Unix time; null when predefined.")
    sample_seconds: float | None = Field(description="Length of its recording.")
    consent_at: int | None = Field(description="When the consent was recorded.")


class VoiceList(BaseModel):
    """All voices, predefined ones first."""

    object: Literal["list"]
    data: list[VoiceObject]
    voices: list[str] = Field(description="Their ids.")


class VoiceDeleted(BaseModel):
    """A voice that is gone."""

    id: str
    object: Literal["voice"]
    deleted: bool


VOICE_EXAMPLE: dict[str, Any] = {
    "id": "my-voice",
    "object": "voice",
    "voice_id": "my-voice",
    "type": "custom",
    "engine": "pocket-tts",
    "usable": True,
    "languages": ["en"],
    "created_at": 1795276800,
    "sample_seconds": 11.0,
    "consent_at": 1795276800,
}
