"""What the audio endpoints take and return."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from sterna_rest.generation.fields import RequestModel

MAX_INPUT_LENGTH = 4096

TranscriptFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
Granularity = Literal["word", "segment"]


class TranslationForm(BaseModel):
    """A recording, and how to turn it into English text."""

    model_config = ConfigDict(extra="ignore")

    file: UploadFile = Field(description="wav, mp3, m4a, ogg, opus, flac or webm.")
    model: str = Field(
        "whisper-1",
        description="A Whisper size (`base`, `whisper-base`), or `whisper-1` for the default.",
    )
    prompt: str = Field("", description="Text before the recording: names, spelling, style.")
    response_format: TranscriptFormat = Field("json", description="The form of the answer.")
    temperature: float = Field(
        0.0, ge=0, le=1, description="0 begins at 0 and goes higher where the result is poor."
    )


class TranscriptionForm(TranslationForm):
    """A recording, and how to turn it into text."""

    language: str = Field(
        "",
        description="The language spoken: an ISO 639-1 code or an English name. Empty: detected.",
    )
    timestamp_granularities: list[Granularity] = Field(
        default_factory=list,
        alias="timestamp_granularities[]",
        description="With `verbose_json`: `segment` (the default), `word`, or both.",
    )
    stream: bool = Field(False, description="Send the text as server-sent events as it is found.")


class TranscriptSegment(BaseModel):
    """A stretch of speech, in seconds."""

    start: float
    end: float
    text: str


class DurationUsage(BaseModel):
    """What was used: seconds of audio."""

    type: Literal["duration"]
    seconds: int


class Transcript(BaseModel):
    """The text of a recording."""

    text: str
    language: str = Field(description="ISO 639-1 code.")
    duration: float = Field(description="Seconds.")
    segments: list[TranscriptSegment]
    usage: DurationUsage


class VerboseSegment(TranscriptSegment):
    """A stretch of speech with what the recogniser knows about it."""

    id: int
    seek: int
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class TranscriptWord(BaseModel):
    """A word, in seconds."""

    word: str
    start: float
    end: float


class VerboseTranscript(BaseModel):
    """The text of a recording with all details."""

    task: Literal["transcribe", "translate"]
    language: str = Field(description="English name.")
    duration: float
    text: str
    segments: list[VerboseSegment] | None = None
    words: list[TranscriptWord] | None = None
    usage: DurationUsage


class VoiceName(RequestModel):
    """A voice by id."""

    id: str


def _voice_kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "(string)"
    return "(object)" if isinstance(value, dict | VoiceName) else None


VoiceChoice = Annotated[
    Annotated[str, Tag("(string)")] | Annotated[VoiceName, Tag("(object)")],
    Discriminator(
        _voice_kind,
        custom_error_type="string_or_object",
        custom_error_message="Input should be a string or an object with an id",
    ),
]


class SpeechRequest(RequestModel):
    """A text to speak."""

    input: str = Field(min_length=1, max_length=MAX_INPUT_LENGTH, description="What to say.")
    model: str | None = Field(
        None, description="A synthesis model, or `tts-1` for the default. Empty: the default."
    )
    voice: VoiceChoice | None = Field(
        None, description="The id of a voice, or `{id}`; `/v1/voices` lists them. Empty: `alba`."
    )
    response_format: SpeechFormat | None = Field(
        None,
        description="`wav` (the default), `pcm` (24 kHz, 16 bits), `mp3`, `opus`, `aac` or `flac`.",
    )
    speed: float | None = Field(None, ge=0.25, le=4, description="The pace, at the same pitch.")
    stream_format: Literal["audio", "sse"] | None = Field(
        None, description="`audio` (the default): the bytes. `sse`: events with base64 parts."
    )
    instructions: str | None = Field(None, description="Accepted; the model has no use for it.")

    def voice_id(self) -> str:
        """The voice, empty for the default."""
        if self.voice is None:
            return ""
        return self.voice if isinstance(self.voice, str) else self.voice.id


class TtsRequest(RequestModel):
    """A text to speak, as WAV."""

    text: str = Field(min_length=1, max_length=MAX_INPUT_LENGTH)
    model: str | None = None
    voice: str | None = None


TRANSCRIPT_EXAMPLE: dict[str, Any] = {
    "text": "Terns fly far.",
    "language": "en",
    "duration": 1.52,
    "segments": [{"start": 0.0, "end": 1.5, "text": "Terns fly far."}],
    "usage": {"type": "duration", "seconds": 2},
}
SPEECH_EXAMPLES: dict[str, Any] = {
    "wav": {"summary": "Streamed WAV", "value": {"input": "Terns fly far.", "voice": "alba"}},
    "mp3": {
        "summary": "MP3, a little faster",
        "value": {"input": "Terns fly far.", "response_format": "mp3", "speed": 1.25},
    },
}
TTS_EXAMPLES: dict[str, Any] = {"text": {"summary": "A text", "value": {"text": "Hello world"}}}
