"""Loading and unloading models."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Request

from sterna.v1.model_admin_pb2 import LoadModelRequest, UnloadModelRequest
from sterna_rest.core import CoreLink, core_link
from sterna_rest.http.openapi import DetailBody, error_documentation
from sterna_rest.http.strict_json import JsonRoute
from sterna_rest.lifecycle.schemas import (
    CHANGE_EXAMPLE,
    LOAD_EXAMPLE,
    LOAD_EXAMPLES,
    ChangeBody,
    LoadBody,
    LoadRequest,
)
from sterna_rest.lifecycle.transcode import load_body, load_parameter, load_request

router = APIRouter(tags=["models"], route_class=JsonRoute)
myllm_router = APIRouter(tags=["models"], route_class=JsonRoute)
"""What is under `/api`, which speaks another API on some listeners."""

Core = Annotated[CoreLink, Depends(core_link)]
ModelName = Annotated[
    str, Path(description="Id, last path component or alias; slashes plain or as `%2F`.")
]

_ERRORS = (400, 403, 404, 409, 500, 501, 503, 504, 507)
_CHANGED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"example": CHANGE_EXAMPLE}}}
}


@router.post(
    "/v1/models/load",
    operation_id="loadModel",
    summary="Swap the default model, or load it with other settings",
    responses={
        200: {"content": {"application/json": {"example": LOAD_EXAMPLE}}},
        **error_documentation(*_ERRORS, 413, 415, 422),
    },
)
async def load_model(
    request: Request,
    body: Annotated[LoadRequest, Body(openapi_examples=LOAD_EXAMPLES)],
    core: Core,
) -> LoadBody:
    """Returns when the model answers. Streams that run go on with the model that they have, and a
    failure leaves everything as it was."""
    return load_body(
        await core.load(request, core.admin.LoadModel, load_request(body), load_parameter)
    )


@router.post(
    "/v1/models/{model:path}/start",
    operation_id="startModel",
    summary="Load a model",
    responses=_CHANGED | error_documentation(*_ERRORS),
)
async def start_model(request: Request, model: ModelName, core: Core) -> ChangeBody:
    """Returns when it answers. Without effect when it is loaded."""
    return await _load(request, core, model, "started")


@router.post(
    "/v1/models/{model:path}/stop",
    operation_id="stopModel",
    summary="Unload a model",
    responses=_CHANGED | error_documentation(404, 409, 500, 503, 504),
)
async def stop_model(request: Request, model: ModelName, core: Core) -> ChangeBody:
    """Returns when its running requests are done. Without effect when it is not loaded."""
    return await _unload(request, core, model, "stopped")


@myllm_router.post(
    "/api/models/{model:path}/load",
    operation_id="apiLoadModel",
    summary="Load a model",
    responses=_CHANGED | error_documentation(*_ERRORS, body=DetailBody),
)
async def api_load_model(request: Request, model: ModelName, core: Core) -> ChangeBody:
    """Returns when it answers. Without effect when it is loaded."""
    return await _load(request, core, model, "loaded")


@myllm_router.post(
    "/api/models/{model:path}/unload",
    operation_id="apiUnloadModel",
    summary="Unload a model",
    responses=_CHANGED | error_documentation(404, 409, 500, 503, 504, body=DetailBody),
)
async def api_unload_model(request: Request, model: ModelName, core: Core) -> ChangeBody:
    """Returns when its running requests are done. Without effect when it is not loaded."""
    return await _unload(request, core, model, "unloaded")


async def _load(request: Request, core: CoreLink, model: str, done: str) -> ChangeBody:
    _require(model)
    message = LoadModelRequest(model_id=model, keep_adapter=True)
    response = await core.load(request, core.admin.LoadModel, message, _path_parameter)
    return ChangeBody(message=f"Model '{response.model.model_id}' {done}")


async def _unload(request: Request, core: CoreLink, model: str, done: str) -> ChangeBody:
    _require(model)
    message = UnloadModelRequest(model_id=model)
    response = await core.load(request, core.admin.UnloadModel, message, _path_parameter)
    return ChangeBody(message=f"Model '{response.model.model_id}' {done}")


def _require(model: str) -> None:
    if not model:
        raise HTTPException(404)


def _path_parameter(field: str) -> str:
    return "model" if field == "model_id" else field
