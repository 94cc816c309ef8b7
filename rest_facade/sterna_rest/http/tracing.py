"""A span for every request, with OpenTelemetry. Only imported when traces are on.

The span becomes the parent of what the core does: it takes the place of the `traceparent` that the
client sent, and the gRPC calls of the request pass it on.
"""

from __future__ import annotations

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sterna_rest.http.metrics import UNMATCHED, route_template
from sterna_rest.http.request_context import PROBES

_PROPAGATOR = TraceContextTextMapPropagator()


class HttpTracing:
    """Wraps applications so that their requests are traced with `provider`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("sterna_rest")

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """A middleware around `app`. It stands outermost."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket") or scope["path"] in PROBES:
                await app(scope, receive, send)
                return
            await self._trace(app, scope, receive, send)

        return traced

    async def _trace(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        sent = {key: headers[key] for key in ("traceparent", "tracestate") if key in headers}
        method = scope.get("method", "WEBSOCKET")
        span = self._tracer.start_span(
            method,
            _PROPAGATOR.extract(sent),
            SpanKind.SERVER,
            {
                "http.request.method": method,
                "url.scheme": scope.get("scheme", ""),
                "url.path": scope["path"],
            },
        )
        passed_on: dict[str, str] = {}
        _PROPAGATOR.inject(passed_on, set_span_in_context(span))
        # A copy: those further out keep what the client sent.
        scope["headers"] = list(scope["headers"])
        MutableHeaders(scope=scope).update(passed_on)

        async def watch(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                _note_answer(span, message)
            await send(message)

        try:
            await app(scope, receive, watch)
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            route = route_template(scope)
            if route != UNMATCHED:
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
            span.end()


def _note_answer(span: Span, message: Message) -> None:
    request_id = Headers(raw=message.get("headers", [])).get("x-request-id")
    if request_id is not None:
        span.set_attribute("sterna.request_id", request_id)
    status = message.get("status")
    if status is not None:
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))
