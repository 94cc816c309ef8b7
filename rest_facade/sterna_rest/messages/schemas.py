"""What `/v1/messages` takes and returns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, Tag

from sterna_rest.generation.fields import (
    INT32_MAX,
    MAX_STOPS,
    STRING_OR_LIST,
    Items,
    RequestModel,
    StopString,
)
from sterna_rest.generation.grammar import Schema


class Block(RequestModel):
    """A piece of a message: text, a call that the assistant made, or what came of one."""

    type: str = Field(description="`text`, `tool_use` or `tool_result`.")
    text: str | None = None
    id: str | None = Field(None, description="Of a `tool_use`.")
    name: str | None = Field(None, description="Of a `tool_use`.")
    input: dict[str, Any] | None = Field(None, description="Of a `tool_use`.")
    tool_use_id: str | None = Field(None, description="Of a `tool_result`.")
    content: Any = Field(None, description="Of a `tool_result`: text, or a list of text blocks.")
    is_error: bool | None = Field(None, description="Of a `tool_result`.")


Blocks = Annotated[
    Annotated[str, Tag("(string)")] | Annotated[Items[Block], Tag("(list)")],
    STRING_OR_LIST,
]


class Turn(RequestModel):
    """One turn of the conversation."""

    role: Literal["user", "assistant"]
    content: Blocks


class SchemaFormat(RequestModel):
    """A JSON value that matches a schema."""

    type: Literal["json_schema"]
    schema_: Schema = Field(alias="schema")


class OutputConfig(RequestModel):
    """The form of the answer."""

    format: SchemaFormat | None = None


class ToolDefinition(RequestModel):
    """A function that the model may call."""

    name: str = Field(description="1 to 64 characters of a-z, A-Z, 0-9, `_` and `-`; unique.")
    description: str | None = Field(None, description="What it does and when to call it.")
    input_schema: Schema | None = Field(None, description="The JSON schema of an object.")
    type: str | None = Field(None, description="`custom`, or left out.")
    strict: bool | None = Field(
        None, description="Refuse a schema that cannot be kept to the letter."
    )


class ToolChoice(RequestModel):
    """Whether tools may, must or must not be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(None, description="With `tool`: which one.")
    disable_parallel_tool_use: bool | None = None


class CountRequest(RequestModel):
    """A conversation, to be counted."""

    model: str | None = Field(
        None, description="Model id, its last path component, or an alias. Empty: the default."
    )
    messages: Items[Turn] = Field(
        min_length=1, description="When the last is the assistant's, the answer goes on with it."
    )
    system: Blocks | None = Field(None, description="Instructions before the conversation.")
    tools: Items[ToolDefinition] | None = Field(None, description="What the model may call.")
    tool_choice: ToolChoice | None = Field(None, description="Default: `auto`.")


class MessageRequest(CountRequest):
    """A conversation to answer."""

    max_tokens: int = Field(ge=1, le=INT32_MAX, description="Most tokens of the answer.")
    stop_sequences: Items[StopString] | None = Field(None, max_length=MAX_STOPS)
    temperature: float | None = Field(None, ge=0, le=2, description="0 is greedy.")
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=INT32_MAX)
    output_config: OutputConfig | None = None
    stream: bool | None = Field(None, description="Answer with server-sent events.")
    metadata: dict[str, Any] | None = Field(None, description="Accepted, without effect.")


class TextBlock(BaseModel):
    """The text of an answer."""

    type: Literal["text"]
    text: str


class ToolUseBlock(BaseModel):
    """A call that the model made."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class MessageUsage(BaseModel):
    """Tokens of the request. The prompt has those of `input_tokens` and of the cache."""

    input_tokens: int = Field(description="Prompt tokens that were computed.")
    cache_creation_input_tokens: int
    cache_read_input_tokens: int = Field(description="Prompt tokens found in the cache.")
    output_tokens: int


class MessageBody(BaseModel):
    """The whole answer."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str = Field(description="The id of the model that answered.")
    content: list[TextBlock | ToolUseBlock]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"] | None
    stop_sequence: str | None
    usage: MessageUsage


class CountBody(BaseModel):
    """How long a prompt is."""

    input_tokens: int


class MessageErrorObject(BaseModel):
    """What went wrong."""

    type: str
    message: str


class MessageErrorBody(BaseModel):
    """Every error under `/v1/messages`."""

    type: Literal["error"]
    error: MessageErrorObject


REQUEST_EXAMPLES: dict[str, Any] = {
    "text": {
        "summary": "A question",
        "value": {
            "max_tokens": 64,
            "system": "Answer briefly.",
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
        },
    },
    "stream": {
        "summary": "The same, streamed, up to the end of the line",
        "value": {
            "max_tokens": 64,
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "stop_sequences": ["\n"],
            "stream": True,
        },
    },
}
COUNT_EXAMPLES: dict[str, Any] = {
    "text": {
        "summary": "A question",
        "value": {"messages": [{"role": "user", "content": "What is the capital of France?"}]},
    }
}
RESPONSE_EXAMPLE: dict[str, Any] = {
    "id": "msg_8b1c0f6d1f2a4f0c9a44c3b7d2e91f50",
    "type": "message",
    "role": "assistant",
    "model": "sterna/tern-nano",
    "content": [{"type": "text", "text": "The capital of France is Paris."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 12,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 8,
    },
}
STREAM_EXAMPLE = (
    "event: content_block_delta\n"
    'data: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Paris."}}\n\n'
)
