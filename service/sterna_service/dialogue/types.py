"""What goes into a spoken conversation, and what comes out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from enum import Enum

from sterna_service.errors import ServiceError
from sterna_service.inference.events import Delta, GenerationEvent, Started, Usage
from sterna_service.inference.spec import GenerationSpec, Message
from sterna_service.speech.types import (
    Activity,
    AudioPart,
    Interim,
    LiveFormat,
    RecognitionRequest,
    Segment,
    SynthesisRequest,
    SynthesisStarted,
)

Generate = Callable[[GenerationSpec], AsyncGenerator[GenerationEvent]]
"""Answers a call; closing the generator frees what it holds."""


@dataclass(frozen=True, slots=True)
class DialogueConfig:
    """How to hold a conversation. The chat of `generation` is what it begins with."""

    recognition: RecognitionRequest
    live: LiveFormat
    generation: GenerationSpec
    synthesis: SynthesisRequest | None
    """None: answers are text only."""
    interruptible: bool = True
    """Whether new speech, or text, stops the answer in progress."""
    answer_turns: bool = True
    """Whether every turn is answered by itself, without a `Respond`."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Samples from the microphone."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A turn that was typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop the answer; so many seconds of its audio were heard, if that is known."""

    played: float | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """The spoken turn ends here."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget what was said since the last turn."""


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer now; `config` is for this answer only."""

    config: DialogueConfig | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was no valid input."""

    error: ServiceError
    is_config: bool = False


DialogueInput = (
    DialogueConfig | Audio | Text | Message | Interrupt | Commit | Clear | Respond | Refused
)


@dataclass(frozen=True, slots=True)
class UserTurn:
    """All that the person said in one turn; empty when no words were found in it."""

    text: str


class Stage(Enum):
    """What failed of a turn."""

    INPUT = "input"
    RECOGNITION = "recognition"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The answer was stopped; `spoken_text` is the part of it that was heard."""

    spoken_text: str
    played: float
    """Seconds of its audio."""


@dataclass(frozen=True, slots=True)
class TurnDone:
    """All of the answer was sent."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """The turn could not be taken, or answered to its end; the conversation goes on."""

    error: ServiceError
    stage: Stage


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration was taken, or, with an error, was not."""

    error: ServiceError | None = None


DialogueEvent = (
    Activity
    | Interim
    | Segment
    | UserTurn
    | Started
    | Delta
    | SynthesisStarted
    | AudioPart
    | Interrupted
    | TurnDone
    | TurnFailed
    | Configured
)
