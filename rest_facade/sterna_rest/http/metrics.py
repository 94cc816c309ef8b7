"""What the façade measures of its requests, for Prometheus.

Names and labels are those of OpenTelemetry's semantic conventions, spelled as Prometheus spells
them. A route is the template that matched, never the path, so that clients cannot make up labels.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
)  # fmt: skip
_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "WEBSOCKET")
)
UNMATCHED = "unmatched"
"""The route of requests that were answered before a route was chosen, or that have none."""
CLIENT_LEFT = 499
"""nginx's status for a client that left; no such response is ever sent."""


class HttpMetrics:
    """The instruments of the façades of one process, in `registry`."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.requests = Histogram(
            "http_server_request_duration_seconds",
            "Requests, from their headers to the last byte of their answers; the status is 499 "
            "when the client left before there was one.",
            ("http_request_method", "http_route", "http_response_status_code"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.active = Gauge(
            "http_server_active_requests",
            "Requests and WebSockets that are being answered.",
            ("http_request_method",),
            registry=self.registry,
        )


class MetricsMiddleware:
    """Measures every request. Stands outermost, so that it sees what others refuse, too."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        method = scope.get("method", "WEBSOCKET")
        # The convention's name for a method that somebody made up.
        method = method if method in _METHODS else "_OTHER"
        begin = time.perf_counter()
        status = CLIENT_LEFT

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close" and status == CLIENT_LEFT:
                status = 403  # what a server answers to a handshake that is not accepted
            await send(message)

        active = self._metrics.active.labels(method)
        active.inc()
        try:
            await self._app(scope, receive, note_status)
        finally:
            active.dec()
            route = route_template(scope)
            seconds = time.perf_counter() - begin
            self._metrics.requests.labels(method, route, str(status)).observe(seconds)


def route_template(scope: Scope) -> str:
    """The template of the route that was chosen, such as `/v1/models/{model:path}`."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else UNMATCHED
