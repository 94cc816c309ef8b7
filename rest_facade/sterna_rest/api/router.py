"""`/api/models`, `/api/chat` and `/api/generate`."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Request
from pydantic_core import to_json
from starlette.responses import Response

from sterna.v1.model_admin_pb2 import GetModelRequest
from sterna_rest.api.schemas import (
    CHAT_EXAMPLE,
    CHAT_EXAMPLES,
    CHAT_STREAM_EXAMPLE,
    GENERATE_EXAMPLE,
    GENERATE_EXAMPLES,
    GENERATE_STREAM_EXAMPLE,
    MODEL_EXAMPLE,
    ApiChatBody,
    ApiChatRequest,
    ApiChunk,
    ApiGenerateBody,
    ApiGenerateRequest,
    ApiModel,
    ApiModels,
)
from sterna_rest.api.stream import ApiEvents
from sterna_rest.api.transcode import (
    api_model,
    api_parameter,
    chat_body,
    chat_spec,
    generate_body,
    generate_spec,
    new_session,
)
from sterna_rest.core import CoreLink, core_link
from sterna_rest.generation.answer import streamed_answer, whole_answer
from sterna_rest.generation.call import Generator
from sterna_rest.generation.unsupported import ignored_headers
from sterna_rest.http.disconnect import unless_client_leaves
from sterna_rest.http.openapi import (
    DetailBody,
    answer_documentation,
    error_documentation,
    example_of,
)
from sterna_rest.http.strict_json import JsonRoute
from sterna_rest.models.router import all_models

router = APIRouter(tags=["api"], route_class=JsonRoute)

_STREAM = f"events whose data is a `{ApiChunk.__name__}`; the last has `done` true."


@router.get(
    "/api/models",
    operation_id="apiListModels",
    summary="List the models with their parameters",
    responses=example_of({"models": [MODEL_EXAMPLE]})
    | error_documentation(500, 503, 504, body=DetailBody),
)
async def list_models(request: Request, core: Annotated[CoreLink, Depends(core_link)]) -> ApiModels:
    """Every model that the server has, loaded or not."""
    return ApiModels(models=[api_model(model) for model in await all_models(request, core)])


@router.get(
    "/api/models/{model:path}",
    operation_id="apiGetModel",
    summary="Describe a model and its parameters",
    responses={
        200: {"content": {"application/json": {"example": MODEL_EXAMPLE}}},
        **error_documentation(404, 500, 503, 504, body=DetailBody),
    },
)
async def get_model(
    request: Request,
    model: Annotated[
        str, Path(description="Id, last path component or alias; slashes plain or as `%2F`.")
    ],
    core: Annotated[CoreLink, Depends(core_link)],
) -> ApiModel:
    """The model that a request with this name would get."""
    if not model:
        raise HTTPException(404)
    response = await core.control(request, core.admin.GetModel, GetModelRequest(model_id=model))
    return api_model(response.model)


@router.post(
    "/api/chat",
    operation_id="apiChat",
    summary="Go on with a conversation that the server keeps",
    response_model=None,
    responses=answer_documentation(
        ApiChatBody, _STREAM, CHAT_EXAMPLE, CHAT_STREAM_EXAMPLE, DetailBody
    )
    | error_documentation(409, body=DetailBody),
)
async def chat(
    request: Request,
    body: Annotated[ApiChatRequest, Body(openapi_examples=CHAT_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """The answer to `messages`, after what the session holds. Question and answer are stored."""

    async def store(text: str) -> str:
        """What is new is stored with its answer, in one step; the core does the rest itself."""
        if body.session_id:
            return body.session_id
        session = new_session(body, str(uuid.uuid4()), text)
        await core.control(request, core.inference.CreateSession, session, api_parameter)
        return session.session_id

    spec = chat_spec(body)
    generator = Generator(core, request, lambda field, _: api_parameter(field))
    if body.stream:
        return await streamed_answer(
            request, core.options, body, generator, [spec], ApiEvents(store)
        )
    answer = await unless_client_leaves(request, generator.whole(spec, 0))
    text = answer.choices[0].text
    return Response(
        to_json(chat_body(text, answer.usage, await store(text))),
        media_type="application/json",
        headers=ignored_headers(body.unknown_fields()),
    )


@router.post(
    "/api/generate",
    operation_id="apiGenerate",
    summary="Continue a text",
    response_model=None,
    responses=answer_documentation(
        ApiGenerateBody, _STREAM, GENERATE_EXAMPLE, GENERATE_STREAM_EXAMPLE, DetailBody
    ),
)
async def generate(
    request: Request,
    body: Annotated[ApiGenerateRequest, Body(openapi_examples=GENERATE_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """What follows `prompt`, without a template. Nothing is stored."""
    spec = generate_spec(body)
    generator = Generator(core, request, lambda field, _: api_parameter(field))
    if body.stream:
        return await streamed_answer(request, core.options, body, generator, [spec], ApiEvents())
    return await whole_answer(
        request,
        core.options,
        body,
        generator,
        [spec],
        lambda answers: generate_body(answers[0].choices[0].text, answers[0].usage),
    )
