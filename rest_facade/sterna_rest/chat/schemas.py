"""What `/v1/chat/completions` takes and returns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, Tag

from sterna_rest.generation.fields import (
    INT32_MAX,
    MAX_TOP_LOGPROBS,
    STRING_OR_LIST,
    GenerationFields,
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
    Annotated[str, Tag("(string)")] | Annotated[list[Part], Tag("(list)")],
    STRING_OR_LIST,
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


class Message(RequestModel):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = Field(
        None, description="Text, or a list of text parts, which are joined."
    )
    name: str | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = Field(None, description="Tool messages: the call it answers.")


class ChatRequest(GenerationFields):
    """A conversation to continue. Unknown fields are ignored and named in `x-ignored-params`."""

    messages: list[Message] = Field(min_length=1)
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
    content: str


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
