"""`POST /v1/embeddings`, `POST /v1/similarities` and `POST /api/embeddings`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from sterna_rest.core import CoreLink, core_link
from sterna_rest.embeddings.call import Embedder
from sterna_rest.embeddings.schemas import (
    API_EXAMPLE,
    API_EXAMPLES,
    EMBEDDING_EXAMPLE,
    EMBEDDING_EXAMPLES,
    SIMILARITY_EXAMPLE,
    SIMILARITY_EXAMPLES,
    ApiEmbeddingBody,
    ApiEmbeddingRequest,
    EmbeddingList,
    EmbeddingRequest,
    SimilarityBody,
    SimilarityRequest,
)
from sterna_rest.embeddings.transcode import (
    api_embedding_body,
    embed_requests,
    embedding_items,
    embedding_list,
    embedding_parameter,
    similarity_body,
    similarity_parameter,
    similarity_request,
)
from sterna_rest.generation.fields import RequestModel
from sterna_rest.generation.unsupported import ignored_headers
from sterna_rest.http.disconnect import unless_client_leaves
from sterna_rest.http.openapi import DetailBody, ErrorBody, error_documentation
from sterna_rest.http.strict_json import JsonRoute

router = APIRouter(tags=["embeddings"], route_class=JsonRoute)
myllm_router = APIRouter(tags=["embeddings"], route_class=JsonRoute)
"""What is under `/api`, which speaks another API on some listeners."""


def _responses(
    answer: type[BaseModel], example: dict[str, Any], error: type[BaseModel] = ErrorBody
) -> dict[int | str, Any]:
    return {
        200: {
            "model": answer,
            "description": "The answer.",
            "content": {"application/json": {"example": example}},
        },
        **error_documentation(400, 404, 413, 415, 422, 500, 503, 504, 507, body=error),
    }


@router.post(
    "/v1/embeddings",
    operation_id="createEmbedding",
    summary="Turn texts into vectors",
    response_model=None,
    responses=_responses(EmbeddingList, EMBEDDING_EXAMPLE),
)
async def create_embedding(
    request: Request,
    body: Annotated[EmbeddingRequest, Body(openapi_examples=EMBEDDING_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """One vector of length 1 per input, whose dot products are cosines."""
    inputs = body.inputs()
    requests = embed_requests(body, core.options.max_message_bytes)
    # One list of token ids is one input, and so is one string.
    parameter = partial(embedding_parameter, body.input is inputs)

    async def work() -> bytes:
        items: list[bytes] = []
        usages = []
        model_id = ""
        async with aclosing(Embedder(core, request).embeddings(requests, parameter)) as answers:
            async for answer in answers:
                # Millions of numbers: other requests go on meanwhile.
                items += await asyncio.to_thread(
                    embedding_items, answer, len(items), body.encoding_format or "float"
                )
                if answer.HasField("usage"):
                    usages.append(answer.usage)
                model_id = answer.model_id
        return embedding_list(items, model_id, usages)

    return await _answer(request, body, work())


@router.post(
    "/v1/similarities",
    operation_id="createSimilarities",
    summary="Compare texts, each with each",
    response_model=None,
    responses=_responses(SimilarityBody, SIMILARITY_EXAMPLE),
)
async def create_similarities(
    request: Request,
    body: Annotated[SimilarityRequest, Body(openapi_examples=SIMILARITY_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """The cosines between the texts' vectors."""
    message = similarity_request(body, core.options.max_message_bytes)

    async def work() -> bytes:
        answer = await Embedder(core, request).similarities(message, similarity_parameter)
        return await asyncio.to_thread(similarity_body, answer)

    return await _answer(request, body, work())


@myllm_router.post(
    "/api/embeddings",
    operation_id="apiEmbeddings",
    summary="Turn a text into a vector",
    response_model=None,
    responses=_responses(ApiEmbeddingBody, API_EXAMPLE, DetailBody),
)
async def api_embeddings(
    request: Request,
    body: Annotated[ApiEmbeddingRequest, Body(openapi_examples=API_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """One vector of length 1."""
    requests = embed_requests(body, core.options.max_message_bytes)
    parameter = partial(embedding_parameter, False)

    async def work() -> bytes:
        async with aclosing(Embedder(core, request).embeddings(requests, parameter)) as answers:
            return api_embedding_body(await anext(answers))

    return await _answer(request, body, work())


async def _answer(
    request: Request, body: RequestModel, work: Coroutine[Any, Any, bytes]
) -> Response:
    """One JSON body. The calls are cancelled as soon as the client leaves."""
    return Response(
        await unless_client_leaves(request, work),
        media_type="application/json",
        headers=ignored_headers(body.unknown_fields()),
    )
