"""Ollama's `/api`: chats, completions and embeddings."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from pydantic_core import to_json
from starlette.responses import PlainTextResponse, Response

from sterna.v1 import inference_pb2
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import EmbedInput, GenerateResponse
from sterna.v1.model_admin_pb2 import LoadModelRequest, UnloadModelRequest
from sterna_rest.core import CoreLink, core_link
from sterna_rest.embeddings.call import Embedder
from sterna_rest.embeddings.transcode import too_large
from sterna_rest.generation.answer import streamed_answer, whole_answer
from sterna_rest.generation.call import Generator
from sterna_rest.http.disconnect import unless_client_leaves
from sterna_rest.http.strict_json import UndeclaredJsonRoute
from sterna_rest.ollama import documentation as docs
from sterna_rest.ollama.schemas import (
    ChatRequest,
    EmbeddingRequest,
    EmbedRequest,
    GenerateRequest,
    GenerationRequest,
)
from sterna_rest.ollama.stream import OllamaLines
from sterna_rest.ollama.transcode import (
    chat_message,
    chat_spec,
    done,
    done_reason,
    generate_spec,
    keep_alive_seconds,
    link_results,
    model_name,
    parameter,
)

router = APIRouter(tags=["ollama"], route_class=UndeclaredJsonRoute)

Core = Annotated[CoreLink, Depends(core_link)]


@router.get("/", include_in_schema=False)
async def root() -> PlainTextResponse:
    """What clients ask to see whether somebody is there."""
    return PlainTextResponse("Ollama is running")


@router.post(
    "/api/chat",
    operation_id="ollamaChat",
    summary="Continue a conversation",
    response_model=None,
    responses=docs.documented(
        docs.OllamaChatAnswer, docs.CHAT_EXAMPLE, *docs.ANSWER_ERRORS, lines=docs.CHAT_LINES
    ),
)
async def chat(
    request: Request,
    body: Annotated[ChatRequest, Body(openapi_examples=docs.CHAT_REQUESTS)],
    core: Core,
) -> Response:
    """The answer, as lines of JSON unless `stream` is false."""
    if not body.messages:
        return await _only_load(request, core, body, chat=True)
    spec = chat_spec(body)
    link_results(spec)
    return await _answer(request, core, body, spec, chat=True)


@router.post(
    "/api/generate",
    operation_id="ollamaGenerate",
    summary="Answer a prompt",
    response_model=None,
    responses=docs.documented(
        docs.OllamaGenerateAnswer,
        docs.GENERATE_EXAMPLE,
        *docs.ANSWER_ERRORS,
        lines=docs.GENERATE_LINES,
    ),
)
async def generate(
    request: Request,
    body: Annotated[GenerateRequest, Body(openapi_examples=docs.GENERATE_REQUESTS)],
    core: Core,
) -> Response:
    """The answer, as lines of JSON unless `stream` is false."""
    if not body.prompt:
        return await _only_load(request, core, body, chat=False)
    return await _answer(request, core, body, generate_spec(body), chat=False)


@router.post(
    "/api/embed",
    operation_id="ollamaEmbed",
    summary="Turn texts into vectors",
    response_model=None,
    responses=docs.documented(
        docs.OllamaVectors, docs.VECTORS_EXAMPLE, *docs.BODY_ERRORS, 429, 507
    ),
)
async def embed(
    request: Request,
    body: Annotated[EmbedRequest, Body(openapi_examples=docs.EMBED_REQUESTS)],
    core: Core,
) -> Response:
    """One vector of length 1 for each text."""
    message = _embed_request(body.model, body.input, body.truncate)
    if body.dimensions is not None:
        message.dimension_count = body.dimensions
    began = time.perf_counter_ns()
    model, vectors, tokens = await _vectors(request, core, message, "input")
    return _json(
        {
            "model": model,
            "embeddings": vectors,
            "total_duration": time.perf_counter_ns() - began,
            "load_duration": 0,
            "prompt_eval_count": tokens,
        }
    )


@router.post(
    "/api/embeddings",
    operation_id="ollamaEmbedding",
    summary="Turn a text into a vector",
    response_model=None,
    responses=docs.documented(docs.OllamaVector, docs.VECTOR_EXAMPLE, *docs.BODY_ERRORS, 429, 507),
)
async def embedding(
    request: Request,
    body: Annotated[EmbeddingRequest, Body(openapi_examples=docs.EMBEDDING_REQUESTS)],
    core: Core,
) -> Response:
    """The vector of one text, in the older call."""
    message = _embed_request(body.model, body.prompt)
    _, vectors, _ = await _vectors(request, core, message, "prompt")
    return _json({"embedding": vectors[0]})


async def _answer(
    request: Request,
    core: CoreLink,
    body: GenerationRequest,
    spec: GenerationSpec,
    *,
    chat: bool,
) -> Response:
    generator = Generator(core, request, lambda field, _: parameter(field))
    if body.keep_alive is not None:
        spec.keep_alive.FromMilliseconds(round(keep_alive_seconds(body.keep_alive) * 1000))
    if body.stream is not False:
        return await streamed_answer(
            request, core.options, body, generator, [spec], OllamaLines(chat=chat)
        )

    def whole(answers: list[GenerateResponse]) -> dict[str, Any]:
        (answer,) = answers
        choice = answer.choices[0]
        last = done(answer.model_id, done_reason(choice.finish_reason), answer.usage)
        return last | ({"message": chat_message(choice)} if chat else {"response": choice.text})

    return await whole_answer(request, core.options, body, generator, [spec], whole)


async def _only_load(
    request: Request, core: CoreLink, body: GenerationRequest, *, chat: bool
) -> Response:
    """Without a question the model is loaded or, with a `keep_alive` of 0, unloaded."""
    name = model_name(body.model)
    seconds = None if body.keep_alive is None else keep_alive_seconds(body.keep_alive)
    if seconds == 0:
        unload = UnloadModelRequest(model_id=name)
        gone = await core.load(request, core.admin.UnloadModel, unload, parameter)
        last = done(gone.model.model_id, "unload")
    else:
        loaded = await _load(request, core, name, seconds)
        last = done(loaded, "load")
    empty = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    return _json(last | empty)


async def _load(request: Request, core: CoreLink, name: str, seconds: float | None) -> str:
    message = LoadModelRequest(model_id=name, keep_adapter=True)
    if seconds is not None:
        message.keep_alive.FromMilliseconds(round(seconds * 1000))
    response = await core.load(request, core.admin.LoadModel, message, parameter)
    return str(response.model.model_id)


def _embed_request(
    model: str, texts: str | list[str], truncate: bool | None = None
) -> inference_pb2.EmbedRequest:
    return inference_pb2.EmbedRequest(
        model_id=model_name(model),
        inputs=[EmbedInput(text=text) for text in ([texts] if isinstance(texts, str) else texts)],
        # As Ollama does, unless it is told not to.
        truncate=truncate is not False,
    )


async def _vectors(
    request: Request, core: CoreLink, message: inference_pb2.EmbedRequest, param: str
) -> tuple[str, list[list[float]], int]:
    """The model that answered, a vector for each text, and the tokens of all of them.

    `param` holds the texts. The call is cancelled as soon as the client leaves. Raises `ApiError`.
    """
    if message.ByteSize() > core.options.max_message_bytes:
        raise too_large(param, core.options.max_message_bytes)

    async def work() -> tuple[str, list[list[float]], int]:
        vectors: list[list[float]] = []
        tokens = 0
        used = ""
        answers = Embedder(core, request).embeddings([message], lambda _, field: parameter(field))
        async with aclosing(answers):
            async for part in answers:
                used = part.model_id
                tokens += part.usage.prompt_token_count
                vectors += [list(each.values) for each in part.embeddings]
        return used, vectors, tokens

    return await unless_client_leaves(request, work())


def _json(body: dict[str, Any]) -> Response:
    return Response(to_json(body), media_type="application/json")
