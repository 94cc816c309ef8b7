"""`GET /`, `GET /health` and `GET /ready`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from sterna.v1.model_admin_pb2 import GetServerInfoRequest
from sterna_rest.core import CoreLink, core_link
from sterna_rest.errors import ApiError
from sterna_rest.http.openapi import DetailBody, error_documentation, example_of
from sterna_rest.server.schemas import (
    HEALTH_EXAMPLE,
    INFO_EXAMPLE,
    HealthBody,
    ReadyBody,
    ServerInfoBody,
)
from sterna_rest.server.transcode import server_info
from sterna_rest.version import VERSION

router = APIRouter(tags=["server"])

_STARTED = time.monotonic()

# Its health is the readiness of the default model.
_INFERENCE_SERVICE = "sterna.v1.InferenceService"


@router.get(
    "/",
    operation_id="getServerInfo",
    summary="Say which server this is",
    response_model=ServerInfoBody,
    responses={
        307: {"description": "To the playground, for whoever accepts HTML."},
        **example_of(INFO_EXAMPLE),
        **error_documentation(500, 503, 504, body=DetailBody),
    },
)
async def get_server_info(
    request: Request, core: Annotated[CoreLink, Depends(core_link)]
) -> ServerInfoBody | RedirectResponse:
    """Name, version, state, and how many models there are. Browsers are sent to `/playground`."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/playground", headers={"vary": "Accept"})
    response = await core.control(request, core.admin.GetServerInfo, GetServerInfoRequest())
    return server_info(response)


@router.get("/livez", include_in_schema=False)
@router.get(
    "/health",
    operation_id="getHealth",
    summary="Liveness",
    responses=example_of(HEALTH_EXAMPLE),
)
async def get_health() -> HealthBody:
    """200 as long as the façade runs. Asks nobody else, so it is cheap and never waits."""
    return HealthBody(
        timestamp=datetime.now(UTC), version=VERSION, uptime=time.monotonic() - _STARTED
    )


@router.get("/readyz", include_in_schema=False)
@router.get(
    "/ready",
    operation_id="getReadiness",
    summary="Readiness",
    responses=example_of({"status": "ready"}) | error_documentation(503, body=DetailBody),
)
async def get_readiness(
    request: Request, core: Annotated[CoreLink, Depends(core_link)]
) -> ReadyBody:
    """200 only while the default model can answer, 503 with `Retry-After` otherwise."""
    health = await core.control(
        request, core.health.Check, HealthCheckRequest(service=_INFERENCE_SERVICE)
    )
    if health.status != HealthCheckResponse.SERVING:
        raise ApiError(
            503,
            "The default model cannot answer now: it is loading, or the server is stopping.",
            code="service_unavailable",
        )
    return ReadyBody()
