"""Stands before every route: nothing of a body is read before the core has let a request in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi.requests import HTTPConnection
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from sterna.v1.access_pb2 import AdmitRequest
from sterna_rest.access.admission import STATE_KEY, Admission
from sterna_rest.access.client import client_address
from sterna_rest.access.headers import admission_headers
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
        connection = HTTPConnection(scope)
        try:
            admission = await _open(connection, is_connection=scope["type"] == "websocket")
        except ApiError as error:
            response = error_response(scope, error)
            if scope["type"] == "websocket":
                socket = WebSocket(scope, receive, send)
                await socket.receive()
                await socket.send_denial_response(response)
            else:
                await response(scope, receive, send)
            return
        headers = admission_headers(admission.response)

        async def send_with_state(message: Message) -> None:
            if headers and message["type"] in ("http.response.start", "websocket.accept"):
                own = MutableHeaders(scope=message)
                for name, value in headers.items():
                    own.setdefault(name, value)
            await send(message)

        scope[STATE_KEY] = admission
        request_context(scope).admission_id = admission.response.admission_id
        try:
            await self._app(scope, receive, send_with_state)
        finally:
            admission.close()


@asynccontextmanager
async def admitted(connection: HTTPConnection) -> AsyncIterator[None]:
    """Counts one request of many that a connection brings, such as a message of a WebSocket.

    Calls to the core inside belong to it. Raises `ApiError` when the core refuses it; nothing is
    asked where the connection itself needed no admission.
    """
    if STATE_KEY not in connection.scope:
        yield
        return
    context = request_context(connection.scope)
    whole = context.admission_id
    admission = await _open(connection, is_connection=False)
    context.admission_id = admission.response.admission_id
    try:
        yield
    finally:
        context.admission_id = whole
        admission.close()


def is_public(path: str) -> bool:
    """Whether anybody may ask for `path`."""
    return path in PUBLIC_PATHS or path.startswith(_PUBLIC_FOLDERS)


async def _open(connection: HTTPConnection, *, is_connection: bool) -> Admission:
    core = connection.app.state.sterna_core
    assert isinstance(core, CoreLink)
    request = AdmitRequest(
        client_address=client_address(connection.scope, core.options.trusted_proxies),
        listener=core.options.listener,
        limits=core.options.limits.message(),
        is_connection=is_connection,
    )
    return await Admission.open(core, connection, request)
