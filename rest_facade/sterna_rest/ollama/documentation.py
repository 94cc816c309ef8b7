"""What the OpenAPI document says of Ollama's answers: shapes, examples, errors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from sterna_rest.http.openapi import error_documentation
from sterna_rest.ollama.stream import MEDIA_TYPE


class OllamaErrorBody(BaseModel):
    """Every error under `/api` of this listener."""

    error: str


class OllamaAnswer(BaseModel):
    """What all answers to a prompt have. Durations are nanoseconds."""

    model: str
    created_at: str
    done: bool
    done_reason: str | None = Field(None, description="`stop`, `length`, `load` or `unload`.")
    total_duration: int | None = None
    load_duration: int | None = Field(None, description="How long the request waited.")
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


class OllamaTurn(BaseModel):
    """The model's turn."""

    role: str
    content: str
    tool_calls: list[dict[str, Any]] | None = None


class OllamaChatAnswer(OllamaAnswer):
    """The answer to a conversation, or one line of it."""

    message: OllamaTurn


class OllamaGenerateAnswer(OllamaAnswer):
    """The answer to a prompt, or one line of it."""

    response: str


class OllamaVectors(BaseModel):
    """One vector of length 1 for each text."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class OllamaVector(BaseModel):
    """A vector of length 1."""

    embedding: list[float]


class OllamaVersion(BaseModel):
    """Sterna's version."""

    version: str


class OllamaDetails(BaseModel):
    """What a model is, in short."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(BaseModel):
    """A model in a list; loaded ones say until when they stay."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: OllamaDetails
    size_vram: int | None = None
    expires_at: str | None = None
    context_length: int | None = None


class OllamaModels(BaseModel):
    """A list of models."""

    models: list[OllamaModel]


class OllamaDescription(BaseModel):
    """All that is known of a model."""

    license: str
    modelfile: str
    parameters: str
    template: str
    details: OllamaDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class OllamaPullState(BaseModel):
    """How far a download is; sizes are bytes."""

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None


_MOMENT = "2026-01-02T03:04:05Z"
_DONE = {
    "model": "sterna/tern-nano",
    "created_at": _MOMENT,
    "done": True,
    "done_reason": "stop",
    "total_duration": 9_000_000,
    "load_duration": 100_000,
    "prompt_eval_count": 12,
    "prompt_eval_duration": 2_000_000,
    "eval_count": 8,
    "eval_duration": 6_900_000,
}
_DETAILS = {
    "parent_model": "",
    "format": "safetensors",
    "family": "bitnet",
    "families": ["bitnet"],
    "parameter_size": "7.2M",
    "quantization_level": "ternary",
}
_MODEL = {
    "name": "sterna/tern-nano",
    "model": "sterna/tern-nano",
    "modified_at": _MOMENT,
    "size": 7_340_032,
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "details": _DETAILS,
}
_LINE = '{{"model":"sterna/tern-nano","created_at":"' + _MOMENT + '",{0},"done":false}}\n'

CHAT_EXAMPLE = _DONE | {"message": {"role": "assistant", "content": "Paris."}}
CHAT_LINES = _LINE.format('"message":{"role":"assistant","content":"Paris"}')
GENERATE_EXAMPLE = _DONE | {"response": " jumps over the lazy dog."}
GENERATE_LINES = _LINE.format('"response":" jumps"')
VECTORS_EXAMPLE = {
    "model": "sterna/tern-nano",
    "embeddings": [[0.6, -0.8]],
    "total_duration": 3_000_000,
    "load_duration": 0,
    "prompt_eval_count": 2,
}
VECTOR_EXAMPLE = {"embedding": [0.6, -0.8]}
VERSION_EXAMPLE = {"version": "0.1.0"}
TAGS_EXAMPLE = {"models": [_MODEL]}
LOADED_EXAMPLE = {
    "models": [
        _MODEL | {"size_vram": 0, "expires_at": "9999-01-01T00:00:00Z", "context_length": 2048}
    ]
}
SHOW_EXAMPLE = {
    "license": "",
    "modelfile": "FROM sterna/tern-nano",
    "parameters": "temperature 0.7\ntop_p 0.9",
    "template": "tern",
    "details": _DETAILS,
    "model_info": {"general.architecture": "bitnet", "bitnet.context_length": 2048},
    "capabilities": ["completion", "tools", "embedding"],
    "modified_at": _MOMENT,
}
PULL_EXAMPLE = {"status": "success"}
PULL_LINES = (
    '{"status":"pulling model.safetensors","digest":"model.safetensors","total":1048576,'
    '"completed":65536}\n{"status":"success"}\n'
)

CHAT_REQUESTS: dict[str, Any] = {
    "chat": {
        "summary": "A question, answered as a whole",
        "value": {
            "model": "sterna/tern-nano",
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "stream": False,
        },
    },
    "stream": {
        "summary": "Streamed, with options",
        "value": {
            "model": "sterna/tern-nano",
            "messages": [{"role": "user", "content": "Hello!"}],
            "options": {"temperature": 0, "num_predict": 16},
        },
    },
}
GENERATE_REQUESTS: dict[str, Any] = {
    "raw": {
        "summary": "Continue a text, without a template",
        "value": {
            "model": "sterna/tern-nano",
            "prompt": "The quick brown fox",
            "raw": True,
            "stream": False,
            "options": {"num_predict": 16},
        },
    }
}
EMBED_REQUESTS: dict[str, Any] = {
    "texts": {"summary": "Two texts", "value": {"model": "", "input": ["One", "Two"]}}
}
EMBEDDING_REQUESTS: dict[str, Any] = {
    "text": {"summary": "One text", "value": {"model": "", "prompt": "One"}}
}
NAME_REQUESTS: dict[str, Any] = {
    "name": {"summary": "A model", "value": {"model": "sterna/tern-nano"}}
}
PULL_REQUESTS: dict[str, Any] = {
    "pull": {"summary": "A repository of the hub", "value": {"model": "ORG/NAME"}}
}


def documented(
    body: type[BaseModel], example: dict[str, Any], *errors: int, lines: str = ""
) -> dict[int | str, Any]:
    """The `responses` of an operation; `lines` is an example of the streamed form."""
    content: dict[str, Any] = {"application/json": {"example": example}}
    description = body.__doc__ or ""
    if lines:
        description += " Streamed: one such object per line."
        content[MEDIA_TYPE] = {"itemSchema": {"type": "object"}, "example": lines}
    return {
        200: {"model": body, "description": description, "content": content},
        **error_documentation(*errors, 500, 503, 504, body=OllamaErrorBody),
    }


BODY_ERRORS = (400, 404, 413, 415, 422)
ANSWER_ERRORS = (*BODY_ERRORS, 409, 429, 501, 507)
