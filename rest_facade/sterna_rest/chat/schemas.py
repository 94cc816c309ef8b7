"""What `/v1/chat/completions` takes and returns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, Tag

from sterna_rest.chat.tool_schemas import (
    FunctionTool,
    MessageToolCall,
    ToolCallBody,
    ToolCallDeltaBody,
    ToolChoice,
)
from sterna_rest.generation.fields import (
    INT32_MAX,
    MAX_TOP_LOGPROBS,
    STRING_OR_LIST,
    GenerationFields,
    Items,
    RequestModel,
)
from sterna_rest.generation.grammar import Grammar, ResponseFormat
from sterna_rest.generation.schemas import UsageBody


class Part(RequestModel):
    """A piece of a message; only pieces of text can be read."""

    type: str = Field(description="`text`, or `refusal` in an assistant's message.")
    text: str | None = None
    refusal: str | None = None


Content = Annotated[
    Annotated[str, Tag("(string)")] | Annotated[Items[Part], Tag("(list)")],
    STRING_OR_LIST,
]


class Message(RequestModel):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = Field(
        None,
        description="Text, or a list of text parts, which are joined. May be null on an "
        "assistant's message with `tool_calls`.",
    )
    name: str | None = None
    tool_calls: Items[MessageToolCall] | None = Field(
        None, description="Assistant messages: the calls of that turn, as they were answered."
    )
    tool_call_id: str | None = Field(None, description="Tool messages: the call it answers.")


class ChatRequest(GenerationFields):
    """A conversation to continue. Unknown fields are ignored and named in `x-ignored-params`."""

    messages: Items[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(
        None, ge=1, le=INT32_MAX, description="As `max_tokens`, which it overrides."
    )
    logprobs: bool | None = Field(None, description="Report each token's log-probability.")
    top_logprobs: int | None = Field(
        None, ge=0, le=MAX_TOP_LOGPROBS, description="And those of the likeliest tokens there."
    )
    response_format: ResponseFormat | None = Field(
        None, description="Hold the answer to JSON. Tell the model so in the prompt, too."
    )
    grammar: Grammar | None = Field(None, description="Hold the answer to another form.")
    tools: Items[FunctionTool] | None = Field(
        None, description="What the model may call; at most 128."
    )
    tool_choice: ToolChoice | None = Field(
        None,
        description="`auto` (the default), `none`, `required` (at least one call), or an object "
        "that names the function to call.",
    )
    parallel_tool_calls: bool | None = Field(
        None, description="Whether one answer may hold several calls. Default: true."
    )
    harness: Literal["default", "search"] | None = Field(
        None, description="`search` lets the model search the web. Null: as the model was loaded."
    )
    search_provider: Literal["ddgs", "brave"] | None = Field(
        None, description="Where it searches. Null: as the model was loaded."
    )
    web_search_options: dict[str, Any] | None = Field(
        None, description="OpenAI's way to ask for a search; what it holds is not used."
    )


class AlternativeLogprob(BaseModel):
    """A token that could have been there."""

    token: str
    logprob: float
    bytes: list[int]


class ContentLogprob(AlternativeLogprob):
    """A token of the answer."""

    top_logprobs: list[AlternativeLogprob]


class ChoiceLogprobs(BaseModel):
    """Natural logarithms, from the model's own distribution."""

    content: list[ContentLogprob]
    refusal: None = None


class AssistantMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"]
    content: str | None = Field(description="Null when there are only calls.")
    tool_calls: list[ToolCallBody] | None = Field(None, description="Left out without calls.")


class ChatChoice(BaseModel):
    """One of the `n` answers."""

    index: int
    message: AssistantMessage
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: ChoiceLogprobs | None = None


class ChatCompletion(BaseModel):
    """The whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int = Field(description="Seconds since 1970.")
    model: str = Field(description="The id of the model that answered.")
    choices: list[ChatChoice]
    usage: UsageBody


class ChatDelta(BaseModel):
    """What a chunk adds."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[ToolCallDeltaBody] | None = None


class ChatChunkChoice(BaseModel):
    """A piece of one choice; `finish_reason` is null until its last chunk, whose delta is empty."""

    index: int
    delta: ChatDelta
    finish_reason: Literal["stop", "length", "tool_calls"] | None
    logprobs: ChoiceLogprobs | None = None


class ChatChunk(BaseModel):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: UsageBody | None = None


_WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 40}},
            "required": ["city"],
        },
    },
}

REQUEST_EXAMPLES: dict[str, Any] = {
    "chat": {
        "summary": "A question",
        "value": {"messages": [{"role": "user", "content": "What is the capital of France?"}]},
    },
    "stream": {
        "summary": "The same, streamed, with the usage at the end",
        "value": {
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    },
    "choices": {
        "summary": "Two reproducible samples with log-probabilities",
        "value": {
            "messages": [{"role": "user", "content": "Name a bird."}],
            "n": 2,
            "seed": 7,
            "temperature": 0.8,
            "max_completion_tokens": 32,
            "logprobs": True,
            "top_logprobs": 3,
            "stop": ["\n"],
        },
    },
    "schema": {
        "summary": "An answer in JSON that matches a schema",
        "value": {
            "messages": [{"role": "user", "content": "What is the capital of France? JSON."}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "capital",
                    "strict": True,
                    "schema": {
                        "type": "object",
                        "properties": {"capital": {"type": "string", "maxLength": 24}},
                        "required": ["capital"],
                        "additionalProperties": False,
                    },
                },
            },
        },
    },
    "choice": {
        "summary": "One of three answers",
        "value": {
            "messages": [{"role": "user", "content": "Is a tern a bird?"}],
            "grammar": {"choice": ["yes", "no", "unknown"]},
        },
    },
    "tools": {
        "summary": "A question that the model answers by calling a tool",
        "value": {
            "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
            "tools": [_WEATHER],
            "tool_choice": "required",
        },
    },
    "tool_result": {
        "summary": "The same conversation, after the tool was called",
        "value": {
            "messages": [
                {"role": "user", "content": "What is the weather in Paris?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "call_5d1f7f3c0a9b4e62",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
                        }
                    ],
                },
                {
                    "role": "tool",
                    "tool_call_id": "call_5d1f7f3c0a9b4e62",
                    "content": "Sunny, 24 degrees",
                },
            ],
            "tools": [_WEATHER],
        },
    },
}

RESPONSE_EXAMPLE: dict[str, Any] = {
    "id": "chatcmpl-8b1c0f6d1f2a4f0c9a44c3b7d2e91f50",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "sterna/tern-nano",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The capital of France is Paris."},
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 8,
        "total_tokens": 20,
        "cached_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 0},
    },
}

_HEAD = (
    '{"id":"chatcmpl-8b1c0f6d1f2a4f0c9a44c3b7d2e91f50","object":"chat.completion.chunk",'
    '"created":1700000000,"model":"sterna/tern-nano","choices":[{"index":0,'
)
STREAM_EXAMPLE = (
    f'data: {_HEAD}"delta":{{"role":"assistant"}},"finish_reason":null}}]}}\n\n'
    f'data: {_HEAD}"delta":{{"content":"Paris."}},"finish_reason":null}}]}}\n\n'
    f'data: {_HEAD}"delta":{{}},"finish_reason":"stop"}}]}}\n\n'
    "data: [DONE]\n\n"
)
