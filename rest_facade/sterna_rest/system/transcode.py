"""Models and the server ↔ protocol. Pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from sterna.v1.model_admin_pb2 import GetServerInfoResponse
from sterna.v1.model_pb2 import Model, ModelState
from sterna.v1.server_status_pb2 import Listener, ServerStatus
from sterna_rest.server.transcode import server_state
from sterna_rest.system.schemas import (
    HostFigures,
    ModelCounts,
    ModelInfoBody,
    ModelStatusBody,
    Proxy,
    RuntimeInfo,
    ServerInfoBody,
    SystemStatusBody,
)

_MEBIBYTE = 1024 * 1024

# One that is being unloaded takes no requests any more.
_STATES: dict[int, Literal["unloaded", "loading", "loaded", "error"]] = {
    ModelState.MODEL_STATE_UNLOADED: "unloaded",
    ModelState.MODEL_STATE_LOADING: "loading",
    ModelState.MODEL_STATE_LOADED: "loaded",
    ModelState.MODEL_STATE_UNLOADING: "unloaded",
    ModelState.MODEL_STATE_FAILED: "error",
}


def model_status(model: Model, port: int | None, now: datetime) -> ModelStatusBody:
    """How a model does at `now`."""
    state = _STATES.get(model.state, "unloaded")
    uptime = 0
    if state == "loaded" and model.HasField("load_time"):
        uptime = max(0, int(now.timestamp() - model.load_time.ToMicroseconds() / 1e6))
    return ModelStatusBody(
        id=model.model_id,
        status=state,
        port=port,
        uptime=uptime,
        memory_usage=model.memory_bytes,
        last_used=(
            model.last_use_time.ToDatetime(tzinfo=UTC) if model.HasField("last_use_time") else None
        ),
        message=model.state_message or None,
    )


def model_info(model: Model, port: int | None) -> ModelInfoBody:
    """What a model is."""
    return ModelInfoBody(
        id=model.model_id,
        path=model.path,
        size=model.size_bytes,
        parameters=model.parameter_count,
        format=model.format,
        architecture=model.architecture.name,
        context_length=model.context_length,
        loaded=model.state == ModelState.MODEL_STATE_LOADED,
        port=port,
    )


def grpc_port(response: GetServerInfoResponse) -> int | None:
    """The first TCP port where the core listens."""
    for listener in response.info.listeners:
        if listener.protocol == Listener.PROTOCOL_GRPC and listener.port:
            return listener.port
    return None


def system_status(status: ServerStatus, rest_port: int | None) -> SystemStatusBody:
    """How the server does, seen through the door at `rest_port`."""
    state = server_state(status.state)
    memory = status.memory
    return SystemStatusBody(
        status=state,
        models=ModelCounts(
            total=status.model_available_count,
            loaded=status.model_loaded_count,
            memory_usage=sum(engine.memory_bytes for engine in status.engines),
        ),
        proxies={"rest": Proxy(status=state, port=rest_port)},
        system=HostFigures(
            cpu_usage=round(status.cpu.host_usage_percent, 1),
            memory_usage=(memory.host_total_bytes - memory.host_available_bytes) // _MEBIBYTE,
            available_memory=memory.host_available_bytes // _MEBIBYTE,
        ),
    )


def server_body(response: GetServerInfoResponse) -> ServerInfoBody:
    """What the server is."""
    info = response.info
    return ServerInfoBody(
        id=info.name.lower(),
        version=info.version,
        description=info.description,
        features=list(info.features),
        models_supported=list(info.model_formats),
        runtime_info=RuntimeInfo(python_version=info.python_version, platform=info.platform),
    )
