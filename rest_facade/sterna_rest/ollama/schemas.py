"""What Ollama's clients send. What they get is described in `transcode`.

The fields are those of https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from sterna_rest.chat.tool_schemas import FunctionTool
from sterna_rest.generation.fields import (
    INT32_MAX,
    INT64_MAX,
    STRING_OR_LIST,
    Items,
    RequestModel,
    Stop,
)

_MODEL = Field("", description="Id, last path component or alias; `:latest` is ignored.")
KeepAlive = float | str
"""Seconds, or a number with a unit (`5m`); negative: for good; 0: unload afterwards."""


class Options(RequestModel):
    """Sampling and limits. Options of other engines are accepted, without effect."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_k: int | None = Field(None, ge=0, le=INT32_MAX)
    top_p: float | None = Field(None, ge=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-INT64_MAX - 1, le=INT64_MAX)
    num_predict: int | None = Field(
        None, ge=-2, le=INT32_MAX, description="Most tokens; -1 and -2: what the context leaves."
    )
    repeat_penalty: float | None = Field(None, ge=0, le=10)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    stop: Stop | None = None


class Call(RequestModel):
    """A call of a tool that the model made."""

    class Function(RequestModel):
        name: str = Field(min_length=1)
        arguments: dict[str, Any] = Field(default_factory=dict)

    id: str | None = None
    function: Function


class Message(RequestModel):
    """One turn."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    images: Items[str] | None = None
    tool_calls: Items[Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class GenerationRequest(RequestModel):
    """What chats and completions have in common."""

    model: str = _MODEL
    format: Literal["", "json"] | dict[str, Any] | None = Field(
        None, description="`json`, or a JSON schema that the answer matches."
    )
    options: Options | None = None
    stream: bool | None = Field(None, description="Default: true.")
    keep_alive: KeepAlive | None = None
    think: bool | str | None = None


class ChatRequest(GenerationRequest):
    """A conversation; without messages, the model is only loaded."""

    messages: Items[Message] | None = None
    tools: Items[FunctionTool] | None = None


class GenerateRequest(GenerationRequest):
    """A prompt; without one, the model is only loaded."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: Items[int] | None = None
    raw: bool | None = Field(None, description="Take the prompt as it is, without a template.")
    images: Items[str] | None = None


class EmbedRequest(RequestModel):
    """Texts to embed."""

    model: str = _MODEL
    input: Annotated[
        Annotated[str, Tag("(string)")] | Annotated[Items[str], Tag("(list)")], STRING_OR_LIST
    ]
    truncate: bool | None = Field(None, description="Cut long texts (the default).")
    dimensions: int | None = Field(None, ge=1, le=INT32_MAX)
    options: Options | None = None
    keep_alive: KeepAlive | None = None


class EmbeddingRequest(RequestModel):
    """One text, in the older call."""

    model: str = _MODEL
    prompt: str
    options: Options | None = None
    keep_alive: KeepAlive | None = None


class NameRequest(RequestModel):
    """A model, under the present or the older name of the field."""

    model: str = ""
    name: str = ""
    verbose: bool | None = None

    def named(self) -> str:
        """The model's name."""
        return self.model or self.name


class PullRequest(NameRequest):
    """A model of the hub."""

    insecure: bool | None = None
    stream: bool | None = Field(None, description="Default: true.")
