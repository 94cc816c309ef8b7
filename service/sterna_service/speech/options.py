"""What speech must be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1024 * 1024

COMPUTE_TYPES = ("int8", "int8_float32", "float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions:
    """Settings of recognition and synthesis."""

    recognition_model: str = "base.en"
    """A name of the catalogue (`base.en`), or a directory with a CTranslate2 Whisper model."""
    recognition_compute_type: str = "int8"
    """Arithmetic of the recogniser: one of `COMPUTE_TYPES`."""
    recognition_threads: int = 0
    """Threads of the recogniser; 0 takes up to four, and leaves one processor to the others."""
    synthesis_model: str = "english"
    """A name of the catalogue (`english`), or a directory with a bundle of pocket-tts."""
    voices_dir: Path | None = None
    """Where voices that were made live; None: `voices` in the home directory."""
    espeak: bool = False
    """Whether voices of espeak-ng, if that is on the PATH, are offered as `espeak:<language>`."""
    consent_required: bool = False
    """Whether a voice may only be made with the speaker's consent attested."""
    preload: bool = False
    """Start both workers with the server, and not with the first request."""

    keep_alive_seconds: float = 900.0
    """How long a worker stays without a request; negative: for good."""

    max_queue: int = 8
    """Requests that wait for a worker; one more is refused."""
    max_audio_bytes: int = 100 * MEBIBYTE
    """The largest recording, as it is uploaded."""
    max_audio_seconds: float = 1800.0
    """The longest recording, decoded."""
    max_text_length: int = 4096
    """The most characters that one request may ask to be spoken."""
    upload_idle_seconds: float = 30.0
    """How long an upload may make no progress."""
    conversation_idle_seconds: float = 300.0
    """How long a spoken conversation may be silent on both sides, without even audio of silence."""
