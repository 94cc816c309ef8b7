"""Server information ↔ protocol. Pure functions."""

from __future__ import annotations

from typing import Literal

from sterna.v1.model_admin_pb2 import GetServerInfoResponse
from sterna.v1.server_status_pb2 import ServerState
from sterna_rest.server.schemas import ServerInfoBody

_STATES: dict[int, Literal["starting", "running", "draining"]] = {
    ServerState.SERVER_STATE_STARTING: "starting",
    ServerState.SERVER_STATE_RUNNING: "running",
    ServerState.SERVER_STATE_DRAINING: "draining",
}


def server_state(state: ServerState) -> Literal["starting", "running", "draining"]:
    """Where the server stands."""
    return _STATES.get(state, "starting")


def server_info(response: GetServerInfoResponse) -> ServerInfoBody:
    """The answer to `GET /`."""
    return ServerInfoBody(
        name=response.info.name,
        version=response.info.version,
        status=server_state(response.state),
        models_available=response.model_available_count,
    )
