"""What recognition and synthesis take and tell, without grpc and without the libraries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Task(StrEnum):
    """What to make of speech."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class Encoding(StrEnum):
    """How audio that was made is coded."""

    PCM = "pcm"
    WAV = "wav"
    MP3 = "mp3"
    OPUS = "opus"
    AAC = "aac"
    FLAC = "flac"


@dataclass(frozen=True, slots=True)
class RecognitionRequest:
    """How to recognise. An empty language is detected; offsets and lengths are in seconds."""

    model: str = ""
    task: Task = Task.TRANSCRIBE
    language: str = ""
    prompt: str = ""
    temperature: float = 0.0
    """0 begins at 0 and goes higher where the result is poor; anything else is taken as it is."""
    word_timestamps: bool = False
    voice_activity_filter: bool = True


@dataclass(frozen=True, slots=True)
class LiveFormat:
    """Raw audio that comes while it is spoken: signed 16-bit little-endian samples."""

    sample_rate: int = 16_000
    channels: int = 1
    interim: bool = False
    """Whether texts that may still change are wanted."""
    by_hand: bool = False
    """Whether the sender says where utterances end, and not the silence between them."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word, with the space or punctuation around it, and its times in seconds."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech. Times are seconds from the beginning of the audio."""

    index: int
    start: float
    end: float
    text: str
    token_ids: Sequence[int] = ()
    temperature: float = 0.0
    average_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_probability: float = 0.0
    words: Sequence[Word] = ()


@dataclass(frozen=True, slots=True)
class RecognitionStarted:
    """What was found out about a recording. The language is empty while it is unknown."""

    transcription_id: str
    model_id: str
    language: str
    language_probability: float


@dataclass(frozen=True, slots=True)
class Activity:
    """Somebody began (or, when not `began`, stopped) to speak, so many seconds into the audio."""

    began: bool
    offset: float


@dataclass(frozen=True, slots=True)
class Interim:
    """What is being said, as far as two passes agree; it may still change."""

    text: str
    end: float


@dataclass(frozen=True, slots=True)
class UtteranceDone:
    """Live audio: all segments of an utterance were told. The protocol has no message for it."""

    end: float
    """Seconds from the beginning of the audio."""


@dataclass(frozen=True, slots=True)
class RecognitionDone:
    """The end. `duration` is the length of the audio in seconds."""

    text: str
    duration: float


RecognitionEvent = (
    RecognitionStarted | Activity | Interim | Segment | UtteranceDone | RecognitionDone
)


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """How to speak. 0 Hz is the model's own rate, or what the encoding asks for."""

    model: str = ""
    voice: str = ""
    encoding: Encoding = Encoding.WAV
    sample_rate: int = 0
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class SynthesisStarted:
    """The audio that follows."""

    synthesis_id: str
    model_id: str
    voice_id: str
    encoding: Encoding
    sample_rate: int
    channels: int = 1


@dataclass(frozen=True, slots=True)
class AudioPart:
    """Further bytes of the coded audio."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SynthesisDone:
    """The end: seconds of audio, and characters that were spoken."""

    duration: float
    characters: int


@dataclass(frozen=True, slots=True)
class PieceBegun:
    """The audio that follows speaks this piece of the text. The protocol has no message for it."""

    text: str


@dataclass(frozen=True, slots=True)
class PieceSpoken:
    """All audio of a piece of the text was told. The protocol has no message for it."""

    text: str
    end: float
    """Seconds of audio so far."""


SynthesisEvent = SynthesisStarted | AudioPart | PieceBegun | PieceSpoken | SynthesisDone
