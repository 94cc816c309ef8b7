"""The outermost layer: a request id for everything, and an answer even to bugs."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sterna_rest.errors.api_error import internal_error
from sterna_rest.errors.handlers import error_response
from sterna_rest.http.metrics import CLIENT_LEFT, route_template

_logger = logging.getLogger("sterna.rest")

_access = logging.getLogger("sterna.rest.access")

PROBES = frozenset(("/health", "/ready", "/livez", "/readyz", "/metrics"))
_SWITCHING_PROTOCOLS = 101

# Anthropic's clients look for the id under a name of their own.
_MESSAGES = "/v1/messages"

_STATE_KEY = "sterna.request"
# What the core, too, takes for an id.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
# W3C trace context: version, trace id, parent id, flags.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


_KEY_PROTOCOL = "openai-insecure-api-key."
# What gRPC takes as a value.
_VISIBLE = re.compile(r"[\x20-\x7e]+", re.ASCII)


@dataclass(slots=True)
class RequestContext:
    """What a request brought that its gRPC calls pass on."""

    request_id: str
    traceparent: str | None = None
    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """The headers with an API key."""
    admission_id: str = ""
    """The core's name for this request, once it was let in."""

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """As gRPC metadata."""
        values = [("x-request-id", self.request_id), *self.credentials]
        if self.traceparent is not None:
            values.append(("traceparent", self.traceparent))
        if self.admission_id:
            values.append(("x-sterna-admission", self.admission_id))
        return tuple(values)


def request_context(scope: Scope) -> RequestContext:
    """The context of the request that `scope` describes."""
    context = scope[_STATE_KEY]
    assert isinstance(context, RequestContext)
    return context


class RequestContextMiddleware:
    """Gives every request an id, returns it in `x-request-id`, and turns bugs into a plain 500.

    A caller's own `x-request-id` is kept when it is made of up to 128 letters, digits and
    `._:-`.
    Written against ASGI itself: the wrappers of `BaseHTTPMiddleware` hide that a client left.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        context = _read_context(Headers(scope=scope))
        if scope["type"] == "websocket" and not context.credentials:
            context.credentials = _offered_key(scope.get("subprotocols", ()))
        scope[_STATE_KEY] = context
        started = False
        status = CLIENT_LEFT
        begin = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal started, status
            if message["type"] in ("http.response.start", "websocket.accept"):
                started = True
                status = message.get("status", _SWITCHING_PROTOCOLS)
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = context.request_id
                if scope["path"].startswith(_MESSAGES):
                    headers["request-id"] = context.request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            _logger.exception(
                "request %s: %s %s failed",
                context.request_id,
                scope.get("method", scope["type"]),
                route_template(scope),
            )
            if started or scope["type"] != "http":
                # Too late for a status; closing the connection is the only truth left.
                raise
            await error_response(scope, internal_error())(scope, receive, send_with_id)
        finally:
            _log_request(scope, context, status, time.perf_counter() - begin)


def _log_request(scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
    # What orchestrators and collectors ask every few seconds would hide everything else.
    level = logging.DEBUG if scope["path"] in PROBES else logging.INFO
    if not _access.isEnabledFor(level):
        return
    client = scope.get("client")
    extra = {
        "method": scope.get("method", "WEBSOCKET"),
        # Not the path: it may hold what a user wrote.
        "route": route_template(scope),
        "status": status,
        "seconds": round(seconds, 6),
        "request_id": context.request_id,
        "client": client[0] if client else "",
    }
    _access.log(level, "request", extra=extra)


def _offered_key(subprotocols: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The key of a browser, which cannot set headers of a WebSocket: OpenAI's pages offer it so."""
    for each in subprotocols:
        if each.startswith(_KEY_PROTOCOL):
            return (("authorization", f"Bearer {each.removeprefix(_KEY_PROTOCOL)}"),)
    return ()


def _read_context(headers: Headers) -> RequestContext:
    request_id = headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = f"req_{uuid.uuid4().hex}"
    traceparent = headers.get("traceparent")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        traceparent = None
    credentials = tuple(
        (name, value)
        for name in ("authorization", "x-api-key")
        if (value := headers.get(name)) is not None and _VISIBLE.fullmatch(value)
    )
    return RequestContext(request_id, traceparent, credentials)
