"""What a caller asks for, before a model's defaults are filled in. Mirrors the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from sterna_service.engine.adapter import EngineAdapter
from sterna_service.inference.grammar import OutputGrammar


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made. `arguments` is the text of a JSON object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `role` is system, developer, user, assistant or tool.

    An assistant's may have tool calls; a tool's names the call that it answers.
    """

    role: str
    content: str
    name: str = ""
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. The schema is JSON text; empty means no arguments."""

    name: str
    description: str = ""
    parameters_schema: str = ""
    strict: bool = False


class ToolMode(Enum):
    """Whether tools may, must or must not be called."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation, to be rendered by the model's template."""

    messages: Sequence[Message]
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    continue_final_message: bool = False
    tools: Sequence[Tool] = ()
    tool_mode: ToolMode = ToolMode.AUTO
    tool_name: str = ""
    """The tool that must be called, with `ToolMode.NAMED`."""
    parallel_tool_calls: bool = True


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Raw text. `add_special_tokens` None leaves it to the tokenizer's configuration."""

    text: str
    add_special_tokens: bool | None = None
    suffix: str = ""
    """What follows the gap that is to be filled; empty: there is no gap."""


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids, taken as they are."""

    token_ids: Sequence[int]


Prompt = ChatPrompt | TextPrompt | TokenPrompt


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen. None means: the model's default."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StopCriteria:
    """When a choice ends. `max_tokens` None means: what is left of the context window."""

    max_tokens: int | None = None
    min_tokens: int | None = None
    stop_strings: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class LogprobOptions:
    """Which log-probabilities to report besides those of the chosen tokens."""

    top_count: int = 0
    prompt: bool = False


class Harness(Enum):
    """What stands between a chat and the model."""

    DEFAULT = "default"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class HarnessChoice:
    """A harness, and where it searches."""

    harness: Harness = Harness.DEFAULT
    search_provider: str = "ddgs"


@dataclass(frozen=True, slots=True)
class AnswerStorage:
    """Whether an answer is stored, and which stored one it follows."""

    store: bool = False
    previous_response_id: str = ""
    instructions: str = ""
    """A system message before everything, which is not stored."""
    document: str = ""
    """The caller's own, given back as it is."""
    ttl: timedelta | None = None
    """None: as long as the server is set to."""


@dataclass(frozen=True, slots=True)
class GenerationSpec:
    """One call for text. Nothing in it has been checked yet."""

    prompt: Prompt
    model_id: str = ""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    stop: StopCriteria = field(default_factory=StopCriteria)
    choice_count: int = 1
    logprobs: LogprobOptions | None = None
    echo: bool = False
    grammar: OutputGrammar | None = None
    harness: Harness | None = None
    """None: the one that the model was loaded with; it works on chats only."""
    search_provider: str = ""
    """`ddgs` or `brave`; empty: the one that the model was loaded with."""
    session_id: str = ""
    storage: AnswerStorage | None = None
    """None: the answer is not stored and follows no stored one."""
    adapter: EngineAdapter | None = None
    """What is added to the model."""
    keep_alive: float | None = None
    """Seconds that the model stays loaded after this call; None: as it was loaded."""
