"""Stands before every route: nothing of a body is read before the core has let a request in."""

from __future__ import annotations

from fastapi.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from sterna.v1.access_pb2 import AdmitRequest
from sterna_rest.access.admission import STATE_KEY, Admission
from sterna_rest.core import CoreLink
from sterna_rest.errors import ApiError
from sterna_rest.errors.handlers import error_response
from sterna_rest.http.request_context import request_context

PUBLIC_PATHS = frozenset(
    {
        # Orchestrators ask these.
        "/health",
        "/livez",
        "/ready",
        "/readyz",
        # These say what the repository says.
        "/docs",
        "/docs/oauth2-redirect",
        "/openapi.json",
        "/playground",
        # Browsers are sent to the playground; all others are answered by the core, which asks for
        # a key.
        "/",
    }
)
"""What is answered to anybody, and never counted."""
_PUBLIC_FOLDERS = ("/static-offline-docs/", "/playground/")


class AdmissionMiddleware:
    """Has the core admit each request, and tells it when the request has ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        core = scope["app"].state.sterna_core
        assert isinstance(core, CoreLink)
        connection = HTTPConnection(scope)
        request = AdmitRequest(is_connection=scope["type"] == "websocket")
        try:
            admission = await Admission.open(core, connection, request)
        except ApiError as error:
            response = error_response(scope, error)
            if scope["type"] == "websocket":
                socket = WebSocket(scope, receive, send)
                await socket.receive()
                await socket.send_denial_response(response)
            else:
                await response(scope, receive, send)
            return
        scope[STATE_KEY] = admission
        request_context(scope).admission_id = admission.response.admission_id
        try:
            await self._app(scope, receive, send)
        finally:
            admission.close()


def is_public(path: str) -> bool:
    """Whether anybody may ask for `path`."""
    return path in PUBLIC_PATHS or path.startswith(_PUBLIC_FOLDERS)
