"""Status and description of a model and of the server, below `/v1`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request

from sterna.v1.model_admin_pb2 import (
    GetModelRequest,
    GetServerInfoRequest,
    GetServerStatusRequest,
)
from sterna.v1.model_pb2 import Model
from sterna_rest.core import CoreLink, core_link
from sterna_rest.http.openapi import error_documentation
from sterna_rest.system.schemas import (
    INFO_EXAMPLE,
    SERVER_EXAMPLE,
    STATUS_EXAMPLE,
    SYSTEM_EXAMPLE,
    ModelInfoBody,
    ModelStatusBody,
    ServerInfoBody,
    SystemStatusBody,
)
from sterna_rest.system.transcode import (
    grpc_port,
    model_info,
    model_status,
    server_body,
    system_status,
)

router = APIRouter(tags=["server"])

Core = Annotated[CoreLink, Depends(core_link)]
ModelName = Annotated[
    str, Path(description="Id, last path component or alias; slashes plain or as `%2F`.")
]


def _documented(example: dict[str, Any], *errors: int) -> dict[int | str, Any]:
    return {
        200: {"content": {"application/json": {"example": example}}},
        **error_documentation(*errors, 500, 503, 504),
    }


@router.get(
    "/v1/models/{model:path}/status",
    operation_id="getModelStatus",
    summary="Say how a model does",
    responses=_documented(STATUS_EXAMPLE, 404),
)
async def get_model_status(request: Request, model: ModelName, core: Core) -> ModelStatusBody:
    """Whether it is loaded, since when, with how much memory, and when it was last used."""
    return model_status(
        await _model(request, core, model), await _port(request, core), datetime.now(UTC)
    )


@router.get(
    "/v1/models/{model:path}/info",
    operation_id="getModelInfo",
    summary="Say what a model is",
    responses=_documented(INFO_EXAMPLE, 404),
)
async def get_model_info(request: Request, model: ModelName, core: Core) -> ModelInfoBody:
    """Its files, size, architecture and context window."""
    return model_info(await _model(request, core, model), await _port(request, core))


@router.get(
    "/v1/system/status",
    operation_id="getSystemStatus",
    summary="Say how the server does",
    responses=_documented(SYSTEM_EXAMPLE),
)
async def get_system_status(request: Request, core: Core) -> SystemStatusBody:
    """Models, and the load and memory of the machine."""
    response = await core.control(request, core.admin.GetServerStatus, GetServerStatusRequest())
    address = request.scope.get("server")
    return system_status(response.status, address[1] if address else None)


@router.get(
    "/v1/server/info",
    operation_id="getServerDescription",
    summary="Say what the server is",
    responses=_documented(SERVER_EXAMPLE),
)
async def get_server_description(request: Request, core: Core) -> ServerInfoBody:
    """Version, features, formats, and what it runs on."""
    return server_body(
        await core.control(request, core.admin.GetServerInfo, GetServerInfoRequest())
    )


async def _model(request: Request, core: CoreLink, name: str) -> Model:
    if not name:
        raise HTTPException(404)
    response = await core.control(request, core.admin.GetModel, GetModelRequest(model_id=name))
    return response.model


async def _port(request: Request, core: CoreLink) -> int | None:
    response = await core.control(request, core.admin.GetServerInfo, GetServerInfoRequest())
    return grpc_port(response)
