"""Ollama's `/api`: the models."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import grpc
from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import JSONResponse, Response

from sterna.v1.model_admin_pb2 import DeleteModelRequest, GetModelRequest, PullModelRequest
from sterna.v1.model_pb2 import Model, ModelState
from sterna_rest.core import CoreLink, core_link
from sterna_rest.errors.from_core import core_error
from sterna_rest.http.disconnect import unless_client_leaves
from sterna_rest.http.event_stream import EventStream
from sterna_rest.http.openapi import error_documentation
from sterna_rest.http.request_context import request_context
from sterna_rest.http.strict_json import UndeclaredJsonRoute
from sterna_rest.models.router import all_models
from sterna_rest.ollama import documentation as docs
from sterna_rest.ollama.schemas import NameRequest, PullRequest
from sterna_rest.ollama.stream import MEDIA_TYPE, error_line, line
from sterna_rest.ollama.transcode import model_name, parameter, pull_status, running, show, tag
from sterna_rest.version import VERSION

router = APIRouter(tags=["ollama"], route_class=UndeclaredJsonRoute)

Core = Annotated[CoreLink, Depends(core_link)]


@router.get(
    "/api/version",
    operation_id="ollamaVersion",
    summary="Say which version this is",
    response_model=None,
    responses=docs.documented(docs.OllamaVersion, docs.VERSION_EXAMPLE),
)
async def version() -> dict[str, str]:
    """Sterna's, not Ollama's."""
    return {"version": VERSION}


@router.get(
    "/api/tags",
    operation_id="ollamaTags",
    summary="List the models",
    response_model=None,
    responses=docs.documented(docs.OllamaModels, docs.TAGS_EXAMPLE),
)
async def tags(request: Request, core: Core) -> dict[str, Any]:
    """Every model that the server has, loaded or not."""
    return {"models": [tag(model) for model in await all_models(request, core)]}


@router.get(
    "/api/ps",
    operation_id="ollamaPs",
    summary="List the loaded models",
    response_model=None,
    responses=docs.documented(docs.OllamaModels, docs.LOADED_EXAMPLE),
)
async def processes(request: Request, core: Core) -> dict[str, Any]:
    """Every loaded model, and until when it stays."""
    models = await all_models(request, core)
    loaded = [each for each in models if each.state == ModelState.MODEL_STATE_LOADED]
    return {"models": [running(each, _expiry(each)) for each in loaded]}


@router.post(
    "/api/show",
    operation_id="ollamaShow",
    summary="Describe a model",
    response_model=None,
    responses=docs.documented(docs.OllamaDescription, docs.SHOW_EXAMPLE, *docs.BODY_ERRORS),
)
async def describe(
    request: Request,
    body: Annotated[NameRequest, Body(openapi_examples=docs.NAME_REQUESTS)],
    core: Core,
) -> dict[str, Any]:
    """Its shape, its defaults and what it can do."""
    message = GetModelRequest(model_id=model_name(body.named()))
    response = await core.control(request, core.admin.GetModel, message, parameter)
    return show(response.model)


@router.delete(
    "/api/delete",
    operation_id="ollamaDelete",
    summary="Delete a model",
    response_class=Response,
    responses={
        200: {"description": "It is gone."},
        **error_documentation(
            *docs.BODY_ERRORS, 403, 409, 500, 503, 504, body=docs.OllamaErrorBody
        ),
    },
)
async def delete(
    request: Request,
    body: Annotated[NameRequest, Body(openapi_examples=docs.NAME_REQUESTS)],
    core: Core,
) -> Response:
    """Removes it from the store, by its full id."""
    message = DeleteModelRequest(model_id=model_name(body.named()))
    await core.control(request, core.admin.DeleteModel, message, parameter)
    return Response()


@router.post(
    "/api/pull",
    operation_id="ollamaPull",
    summary="Download a model",
    response_model=None,
    responses=docs.documented(
        docs.OllamaPullState,
        docs.PULL_EXAMPLE,
        *docs.BODY_ERRORS,
        403,
        409,
        507,
        lines=docs.PULL_LINES,
    ),
)
async def pull(
    request: Request,
    body: Annotated[PullRequest, Body(openapi_examples=docs.PULL_REQUESTS)],
    core: Core,
) -> Response:
    """From the Hugging Face hub, with lines of JSON that say how far it is."""
    message = PullModelRequest(source=model_name(body.named()))
    call = core.admin.PullModel(message, metadata=request_context(request.scope).metadata())

    async def states() -> AsyncGenerator[dict[str, Any], None]:
        try:
            async for response in call:
                yield pull_status(response.pull)
        except grpc.aio.AioRpcError as error:
            raise core_error(error, parameter) from None

    if body.stream is False:

        async def last() -> dict[str, Any]:
            found: dict[str, Any] = {}
            async for state in states():
                found = state
            return found

        try:
            return JSONResponse(await unless_client_leaves(request, last()))
        finally:
            call.cancel()

    async def lines() -> AsyncGenerator[bytes, None]:
        async for state in states():
            yield line(state)

    return EventStream(
        lines(),
        keepalive_seconds=core.options.keepalive_seconds,
        keepalive=b"",
        on_close=call.cancel,
        on_error=error_line,
        media_type=MEDIA_TYPE,
    )


def _expiry(model: Model) -> datetime | None:
    seconds = model.keep_alive.ToNanoseconds() / 1e9
    if seconds < 0 or model.pinned:
        return None
    used = model.last_use_time if model.HasField("last_use_time") else model.load_time
    moment: datetime = used.ToDatetime(tzinfo=UTC)
    return moment + timedelta(seconds=seconds)
