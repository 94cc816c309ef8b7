"""Tools of a chat request, and the calls that requests and answers hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from sterna_rest.generation.fields import RequestModel
from sterna_rest.generation.grammar import Schema


class FunctionDefinition(RequestModel):
    """A function that the model may call."""

    name: str = Field(description="1 to 64 characters of a-z, A-Z, 0-9, `_` and `-`; unique.")
    description: str | None = Field(None, description="What it does and when to call it.")
    parameters: Schema | None = Field(
        None, description="The JSON schema of an object. Left out: no arguments."
    )
    strict: bool | None = Field(
        None,
        description="Refuse a schema that cannot be kept to the letter. Otherwise what is not "
        "understood of it is left out, and arguments are still valid JSON.",
    )


class FunctionTool(RequestModel):
    """A tool on offer; only functions are known."""

    type: str = Field(description="`function`.")
    function: FunctionDefinition | None = None


class FunctionName(RequestModel):
    """Names one of the functions in `tools`."""

    name: str


class NamedTool(RequestModel):
    """The one tool that is called."""

    type: str = Field(description="`function`.")
    function: FunctionName | None = None


def _mode_or_tool(value: Any) -> str | None:
    if isinstance(value, str):
        return "(mode)"
    return "(named)" if isinstance(value, dict | NamedTool) else None


ToolMode = Literal["none", "auto", "required"]

ToolChoice = Annotated[
    Annotated[ToolMode, Tag("(mode)")] | Annotated[NamedTool, Tag("(named)")],
    Discriminator(
        _mode_or_tool,
        custom_error_type="mode_or_tool",
        custom_error_message="Input should be 'none', 'auto', 'required' or an object that names "
        "a function",
    ),
]


class CalledFunction(RequestModel):
    """Which function was called, and with what."""

    name: str
    arguments: str = Field(description="A JSON object as text.")


class MessageToolCall(RequestModel):
    """A call that the assistant made earlier in the conversation."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class FunctionCallBody(BaseModel):
    """What to call, and with what."""

    name: str
    arguments: str = Field(
        description="A JSON object as text. Complete unless `finish_reason` is `length`."
    )


class ToolCallBody(BaseModel):
    """A call that the model made. Answer it with a message of role `tool`."""

    id: str
    type: Literal["function"]
    function: FunctionCallBody


class FunctionCallDelta(BaseModel):
    """The name comes once, in the first piece."""

    name: str | None = None
    arguments: str = Field(description="Further characters of the arguments.")


class ToolCallDeltaBody(BaseModel):
    """A piece of a call. The first one of each `index` has `id`, `type` and the name."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionCallDelta
