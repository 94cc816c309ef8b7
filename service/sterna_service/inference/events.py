"""What happens while an answer is made, in the order of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class FinishReason(Enum):
    """Why a choice ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class TokenAlternative:
    """A token that could have come, with the natural logarithm of its probability."""

    token_id: int
    text: str
    raw_bytes: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token that came. `logprob` is None for the first token of a prompt."""

    token_id: int
    text: str
    raw_bytes: bytes
    logprob: float | None
    top: Sequence[TokenAlternative] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request is valid and queued. Comes first; the protocol has no message for it."""

    response_id: str
    create_time: datetime
    model_id: str


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt is computed. Durations are in seconds."""

    response_id: str
    create_time: datetime
    model_id: str
    prompt_tokens: int
    cached_tokens: int
    queue_seconds: float
    prefill_seconds: float
    prompt_text: str
    prompt_logprobs: Sequence[TokenLogprob]
    session_id: str = ""
    adapter_id: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallPiece:
    """A piece of a tool call; `id` and `name` are set in the first piece only."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Delta:
    """More of one choice. `logprobs` is empty, or has one entry per token."""

    choice: int
    text: str
    token_ids: Sequence[int]
    logprobs: Sequence[TokenLogprob]
    tool_calls: Sequence[ToolCallPiece] = ()


@dataclass(frozen=True, slots=True)
class ChoiceFinished:
    """The end of one choice; what stopped it, if it was something that the request named."""

    choice: int
    reason: FinishReason
    stop_string: str | None = None
    stop_token_id: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What the whole call used; comes last. Durations are in seconds."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """The model asked for a search."""

    query: str


@dataclass(frozen=True, slots=True)
class SearchCompleted:
    """The results were read; the answer follows."""

    sources: int


@dataclass(frozen=True, slots=True)
class SearchUnavailable:
    """Searching failed; the model answers from what it knows."""

    message: str


SearchProgress = SearchStarted | SearchCompleted | SearchUnavailable

GenerationEvent = Accepted | Started | Delta | SearchProgress | ChoiceFinished | Usage
