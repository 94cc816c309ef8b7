"""Recognition and synthesis."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ByteSize, Field

from sterna_server.sections.kinds import HomePath


class SpeechSettings(BaseModel):
    """Speech."""

    voice: bool = False
    """Whether speech is recognised and made; needs the extra `voice` and `sterna pull --voice`."""
    voice_preload: bool = False
    """Start the speech workers with the server, and not with the first request."""
    voice_keep_alive: float = Field(default=900.0, ge=-1, le=3650 * 86400)
    """Seconds that a speech worker keeps its model in memory without a request; -1: for good."""
    voice_queue: int = Field(default=8, ge=0, le=1000)
    """Requests that wait for a speech worker; one more is refused."""
    voice_consent: bool = False
    """Whether a voice may only be made with the speaker's consent attested."""
    voice_espeak: bool = False
    """Offer the voices of the program espeak-ng, if it is installed, as `espeak:<language>`."""
    voices_dir: HomePath | None = None
    """Where voices that were made live; None: `voices` in the home directory."""
    whisper_model: str = Field(default="base.en", min_length=1)
    """The recognition model: a Whisper size (`base.en`), or a directory in CTranslate2's format."""
    whisper_compute_type: Literal["int8", "int8_float32", "float32"] = "int8"
    """The recogniser's arithmetic."""
    whisper_threads: int = Field(default=0, ge=0, le=1024)
    """The recogniser's threads; 0 takes up to four, and leaves one processor to the others."""
    tts_model: str = Field(default="english", min_length=1)
    """The synthesis model: a name such as `english`, or a directory with a bundle."""
    max_audio_bytes: ByteSize = Field(default=ByteSize(100 * 1024 * 1024), ge=1024)
    """The largest recording that is taken, as it is uploaded."""
    max_audio_seconds: float = Field(default=1800.0, gt=0, le=86400)
    """The longest recording that is taken, decoded."""
    conversation_idle: float = Field(default=300.0, gt=0, le=86400)
    """Seconds without any input after which a spoken conversation ends."""
