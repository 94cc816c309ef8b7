"""What `/api/*` takes and returns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from sterna_rest.generation.fields import INT32_MAX, MAX_STOPS, Items, RequestModel, StopString


class Options(RequestModel):
    """Sampling and stopping. A field left out means the model's own default."""

    temperature: float | None = Field(None, ge=0, le=2, description="0 is greedy.")
    top_p: float | None = Field(None, ge=0, le=1, description="0 keeps the likeliest token only.")
    top_k: int | None = Field(None, ge=0, le=INT32_MAX, description="0 is off.")
    max_tokens: int | None = Field(None, ge=1, le=INT32_MAX)
    stop: Items[StopString] | None = Field(None, max_length=MAX_STOPS)
    repeat_penalty: float | None = Field(None, ge=0, le=10, description="0 and 1 are off.")


class ApiMessage(RequestModel):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: str


class _Request(RequestModel):
    model: str | None = Field(
        None, description="Model id, its last path component, or an alias. Empty: the default."
    )
    stream: bool | None = Field(None, description="Answer with server-sent events.")
    options: Options | None = None


class ApiChatRequest(_Request):
    """More of a conversation."""

    messages: Items[ApiMessage] = Field(
        min_length=1, description="What is new; the server has what came before."
    )
    session_id: str | None = Field(
        None, description="The conversation to go on with. Left out: a new one."
    )


class ApiGenerateRequest(_Request):
    """A text to continue."""

    prompt: str


class ApiModel(BaseModel):
    """A model that the server has."""

    name: str
    family: str
    size_mb: int = Field(description="Of its files, in MiB, rounded up.")
    quantization: str
    context_size: int
    template: str
    parameters: dict[str, float] = Field(description="What a field left out means.")
    loaded: bool


class ApiModels(BaseModel):
    """All of them, the default one first."""

    models: list[ApiModel]


class ApiUsage(BaseModel):
    """Tokens of the request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = Field(description="Prompt tokens whose computation was reused.")


class ApiAnswer(BaseModel):
    """What the model said."""

    role: Literal["assistant"]
    content: str


class ApiChatBody(BaseModel):
    """The whole answer."""

    message: ApiAnswer
    session_id: str
    usage: ApiUsage


class ApiGenerateBody(BaseModel):
    """The whole answer."""

    text: str
    usage: ApiUsage


class ApiChunk(BaseModel):
    """One event of a stream; the last has `done` and the whole text."""

    token: str | None = None
    done: bool
    session_id: str | None = None
    full_text: str | None = None


_USAGE = {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20, "cached_tokens": 0}
_SESSION = "123e4567-e89b-42d3-a456-426614174000"

CHAT_EXAMPLES: dict[str, Any] = {
    "new": {
        "summary": "A new conversation",
        "value": {
            "messages": [{"role": "user", "content": "Hello!"}],
            "options": {"temperature": 0.7, "max_tokens": 64},
        },
    },
    "more": {
        "summary": "More of it, streamed",
        "value": {
            "messages": [{"role": "user", "content": "And now?"}],
            "session_id": _SESSION,
            "stream": True,
        },
    },
}
GENERATE_EXAMPLES: dict[str, Any] = {
    "text": {
        "summary": "Continue a text",
        "value": {"prompt": "Once upon a time", "options": {"max_tokens": 32, "stop": ["\n"]}},
    }
}
CHAT_EXAMPLE: dict[str, Any] = {
    "message": {"role": "assistant", "content": "Hello! How can I help you?"},
    "session_id": _SESSION,
    "usage": _USAGE,
}
GENERATE_EXAMPLE: dict[str, Any] = {"text": " there was a tern.", "usage": _USAGE}
CHAT_STREAM_EXAMPLE = (
    'data: {"token":"Hello","done":false}\n\n'
    f'data: {{"done":true,"session_id":"{_SESSION}","full_text":"Hello"}}\n\n'
)
GENERATE_STREAM_EXAMPLE = (
    'data: {"token":" there","done":false}\n\ndata: {"done":true,"full_text":" there"}\n\n'
)
MODEL_EXAMPLE: dict[str, Any] = {
    "name": "sterna/tern-nano",
    "family": "bitnet",
    "size_mb": 6,
    "quantization": "ternary",
    "context_size": 1024,
    "template": "custom",
    "parameters": {"temperature": 0.7},
    "loaded": True,
}
