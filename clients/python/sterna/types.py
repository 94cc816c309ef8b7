"""What calls take and return: plain, immutable, typed.

Results have the fields of their messages in the protocol, where units and meanings are documented;
times are `datetime` in UTC, durations `timedelta`, enumerations lower-case strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

RoleName = Literal["system", "developer", "user", "assistant", "tool"]


class FinishReason(StrEnum):
    """Why a choice ended."""

    UNSPECIFIED = "unspecified"
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


class ModelState(StrEnum):
    """The life of a model or an adapter."""

    UNSPECIFIED = "unspecified"
    UNLOADED = "unloaded"
    LOADING = "loading"
    LOADED = "loaded"
    UNLOADING = "unloading"
    FAILED = "failed"


class ModelCapability(StrEnum):
    """What a model can do."""

    UNSPECIFIED = "unspecified"
    COMPLETION = "completion"
    CHAT = "chat"
    TOOLS = "tools"
    EMBEDDING = "embedding"
    TRANSCRIPTION = "transcription"
    SPEECH = "speech"
    INFILL = "infill"
    SEARCH = "search"


class WeightPrecision(StrEnum):
    """How weights that are not ternary are held."""

    UNSPECIFIED = "unspecified"
    NONE = "none"
    BF16 = "bf16"
    INT8 = "int8"
    Q8_0 = "q8_0"
    Q6_K = "q6_k"
    Q5_0 = "q5_0"
    Q4_0 = "q4_0"


class Harness(StrEnum):
    """What works around the model during a chat call."""

    UNSPECIFIED = "unspecified"
    DEFAULT = "default"
    SEARCH = "search"


class SearchProvider(StrEnum):
    """Where the search harness searches."""

    UNSPECIFIED = "unspecified"
    DDGS = "ddgs"
    BRAVE = "brave"


class ServerState(StrEnum):
    """The life of the server."""

    UNSPECIFIED = "unspecified"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"


class HealthState(StrEnum):
    """The answer of a health check."""

    UNKNOWN = "unknown"
    SERVING = "serving"
    NOT_SERVING = "not_serving"
    SERVICE_UNKNOWN = "service_unknown"


class Pooling(StrEnum):
    """How a text's token vectors become one."""

    UNSPECIFIED = "unspecified"
    MEAN = "mean"
    LAST_TOKEN = "last_token"
    FIRST_TOKEN = "first_token"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made; `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: RoleName
    content: str = ""
    name: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, slots=True)
class TokenAlternative:
    """A token that could have been chosen."""

    token_id: int
    text: str
    raw_bytes: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, with its log-probability; None on the first token of a prompt."""

    token_id: int
    text: str
    raw_bytes: bytes
    logprob: float | None
    top_logprobs: tuple[TokenAlternative, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used, all choices together."""

    prompt_token_count: int
    completion_token_count: int
    cached_token_count: int
    queue_duration: timedelta
    prefill_duration: timedelta
    decode_duration: timedelta

    @property
    def total_token_count(self) -> int:
        """Tokens of the prompt and of the answer."""
        return self.prompt_token_count + self.completion_token_count


@dataclass(frozen=True, slots=True)
class Choice:
    """One whole answer."""

    index: int
    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    stop_string: str | None
    stop_token_id: int | None
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """What one call generated."""

    response_id: str
    create_time: datetime
    model_id: str
    adapter_id: str
    session_id: str
    choices: tuple[Choice, ...]
    usage: Usage
    prompt_text: str
    prompt_logprobs: tuple[TokenLogprob, ...]

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self.choices[0].text

    @property
    def message(self) -> Message:
        """The first choice as the next message of the conversation."""
        first = self.choices[0]
        return Message("assistant", first.text, tool_calls=first.tool_calls)


@dataclass(frozen=True, slots=True)
class Started:
    """The first event: the prompt is computed."""

    response_id: str
    create_time: datetime
    model_id: str
    adapter_id: str
    session_id: str
    prompt_token_count: int
    cached_token_count: int
    queue_duration: timedelta
    prefill_duration: timedelta
    prompt_text: str
    prompt_logprobs: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call; `id` and `name` are in the first piece only."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Delta:
    """More of one choice."""

    choice_index: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    tool_calls: tuple[ToolCallDelta, ...]


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """The harness searches the web."""

    query: str


@dataclass(frozen=True, slots=True)
class SearchCompleted:
    """The harness read the results; the answer follows."""

    source_count: int


@dataclass(frozen=True, slots=True)
class SearchUnavailable:
    """Searching failed; the model answers from its own knowledge."""

    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of one choice."""

    choice_index: int
    finish_reason: FinishReason
    stop_string: str | None
    stop_token_id: int | None


Event = Started | Delta | SearchStarted | SearchCompleted | SearchUnavailable | Finished | Usage


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector of length 1."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors, one per input."""

    model_id: str
    embeddings: tuple[Embedding, ...]
    pooling: Pooling
    usage: Usage


@dataclass(frozen=True, slots=True)
class Similarities:
    """Cosines between texts, row by row."""

    model_id: str
    similarities: tuple[float, ...]
    text_count: int
    usage: Usage

    def between(self, first: int, second: int) -> float:
        """The cosine between two texts, by their positions."""
        if not (0 <= first < self.text_count and 0 <= second < self.text_count):
            raise IndexError(f"positions go from 0 to {self.text_count - 1}")
        return self.similarities[first * self.text_count + second]


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation that the server keeps."""

    session_id: str
    model_id: str
    create_time: datetime
    update_time: datetime
    expire_time: datetime | None
    message_count: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A kept conversation with what was said, oldest first."""

    session: Session
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A kept answer and what was asked, without what they follow."""

    response_id: str
    previous_response_id: str
    model_id: str
    create_time: datetime
    expire_time: datetime
    messages: tuple[Message, ...]
    choice: Choice
    usage: Usage
    document: str
