"""The OpenAPI document is complete, and its examples are what the server takes and sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from sterna_rest.api import schemas as api
from sterna_rest.app import FacadeOptions, create_app
from sterna_rest.chat import schemas as chat
from sterna_rest.completions import schemas as completions
from sterna_rest.embeddings import schemas as embeddings
from sterna_rest.http.openapi import DetailBody, ErrorBody
from sterna_rest.messages import schemas as messages
from sterna_rest.messages.schemas import MessageErrorBody
from sterna_rest.models import schemas as models
from sterna_rest.responses import schemas as responses
from sterna_rest.system import schemas as system
from sterna_rest.tokens import schemas as tokens
from tests.support.facade_server import facade_server
from tests.support.sse import parse_events

APP = create_app(FacadeOptions(core_address="127.0.0.1:9"))
DOCUMENT: dict[str, Any] = APP.openapi()
OPERATIONS = [
    (method, path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_endpoints() -> None:
    assert sorted(IDS) == sorted(
        [
            "get /",
            "get /api/models",
            "get /api/models/{model}",
            "get /health",
            "post /api/chat",
            "post /api/embeddings",
            "post /api/generate",
            "get /ready",
            "get /v1/models",
            "get /v1/adapters",
            "post /api/models/{model}/load",
            "post /api/models/{model}/unload",
            "post /v1/models/load",
            "post /v1/models/{model}/start",
            "post /v1/models/{model}/stop",
            "get /v1/models/{model}/info",
            "get /v1/models/{model}/status",
            "get /v1/server/info",
            "get /v1/system/status",
            "get /v1/models/{model}",
            "post /v1/chat/completions",
            "post /detokenize",
            "post /tokenize",
            "post /v1/completions",
            "post /v1/embeddings",
            "post /v1/similarities",
            "post /v1/messages",
            "post /v1/messages/count_tokens",
            "post /v1/responses",
            "get /v1/responses/{response_id}",
            "get /v1/responses/{response_id}/input_items",
            "delete /v1/responses/{response_id}",
            "post /v1/audio/transcriptions",
            "post /v1/audio/translations",
            "post /v1/audio/speech",
            "post /v1/tts",
            "get /v1/voices",
            "post /v1/voices",
            "get /v1/voices/{voice}",
            "delete /v1/voices/{voice}",
            "post /v1/webhooks/register",
            "get /v1/webhooks",
            "get /v1/webhooks/{webhook}",
            "delete /v1/webhooks/{webhook}",
            "post /v1/webhooks/{webhook}/rotate",
            "get /v1/webhooks/{webhook}/deliveries",
        ]
    )


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        node = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_every_operation_is_described(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    for parameter in operation.get("parameters", ()):
        assert parameter["description"]
    for status, response in operation["responses"].items():
        assert response["description"]
        if int(status) >= 400:
            body: type[BaseModel] = ErrorBody if path.startswith("/v1/") else DetailBody
            if path.startswith("/v1/messages"):
                body = MessageErrorBody
            reference = response["content"]["application/json"]["schema"]["$ref"]
            assert reference.endswith(f"/{body.__name__}")
            assert ("headers" in response) == (status in ("429", "503"))


def test_nothing_of_frameworks_own_errors_is_left() -> None:
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)


def test_chunks_are_documented() -> None:
    assert "ChatChunk" in DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize(
    ("request_model", "examples"),
    [
        (chat.ChatRequest, chat.REQUEST_EXAMPLES),
        (completions.CompletionRequest, completions.REQUEST_EXAMPLES),
        (responses.ResponseRequest, responses.REQUEST_EXAMPLES),
        (messages.MessageRequest, messages.REQUEST_EXAMPLES),
        (messages.CountRequest, messages.COUNT_EXAMPLES),
        (api.ApiChatRequest, api.CHAT_EXAMPLES),
        (api.ApiGenerateRequest, api.GENERATE_EXAMPLES),
        (tokens.TokenizeRequest, tokens.TOKENIZE_EXAMPLES),
        (tokens.DetokenizeRequest, tokens.DETOKENIZE_EXAMPLES),
        (embeddings.EmbeddingRequest, embeddings.EMBEDDING_EXAMPLES),
        (embeddings.SimilarityRequest, embeddings.SIMILARITY_EXAMPLES),
        (embeddings.ApiEmbeddingRequest, embeddings.API_EXAMPLES),
    ],
)
def test_request_examples_are_accepted(
    request_model: type[BaseModel], examples: dict[str, Any]
) -> None:
    for example in examples.values():
        assert example["summary"]
        assert not request_model.model_validate(example["value"]).model_extra


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (chat.ChatCompletion, chat.RESPONSE_EXAMPLE),
        (completions.Completion, completions.RESPONSE_EXAMPLE),
        (responses.ResponseBody, responses.RESPONSE_EXAMPLE),
        (messages.MessageBody, messages.RESPONSE_EXAMPLE),
        (api.ApiChatBody, api.CHAT_EXAMPLE),
        (api.ApiGenerateBody, api.GENERATE_EXAMPLE),
        (api.ApiModel, api.MODEL_EXAMPLE),
        (system.ModelStatusBody, system.STATUS_EXAMPLE),
        (system.ModelInfoBody, system.INFO_EXAMPLE),
        (system.SystemStatusBody, system.SYSTEM_EXAMPLE),
        (system.ServerInfoBody, system.SERVER_EXAMPLE),
        (embeddings.EmbeddingList, embeddings.EMBEDDING_EXAMPLE),
        (embeddings.SimilarityBody, embeddings.SIMILARITY_EXAMPLE),
        (embeddings.ApiEmbeddingBody, embeddings.API_EXAMPLE),
        (models.ModelList, models.LIST_EXAMPLE),
        (models.ModelBody, models.MODEL_EXAMPLE),
    ],
)
def test_response_examples_fit_their_schemas(
    model: type[BaseModel], example: dict[str, Any]
) -> None:
    model.model_validate(example)


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (chat.ChatChunk, chat.STREAM_EXAMPLE),
        (completions.Completion, completions.STREAM_EXAMPLE),
    ],
)
def test_stream_examples_are_streams(model: type[BaseModel], example: str) -> None:
    events = parse_events(example.encode())
    assert events.done
    for chunk in events.chunks:
        model.model_validate(chunk)


async def test_documents_are_served() -> None:
    app = create_app(FacadeOptions(core_address="127.0.0.1:9"))
    async with facade_server(app) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/openapi.json")).json() == DOCUMENT
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "/openapi.json" in page.text
