"""Records spans with OpenTelemetry. Only imported when traces are on: it needs the extra `otel`."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sterna_service.telemetry.spans import NO_SPAN, Attributes, Span

_PROPAGATOR = TraceContextTextMapPropagator()
_CONTEXT_KEYS = ("traceparent", "tracestate")


class CallTracing:
    """Begins the span of a call, as part of the trace that its caller tells of."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("sterna_service")

    def begin(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Span:
        """`method` is `package.Service/Method`; `metadata` is what the caller sent."""
        carrier = {
            key: value for key, value in metadata if key in _CONTEXT_KEYS and isinstance(value, str)
        }
        span = self._tracer.start_span(
            method,
            _PROPAGATOR.extract(carrier),
            SpanKind.SERVER,
            {"rpc.system.name": "grpc", "rpc.method": method},
        )
        return _Recorded(self._tracer, span) if span.is_recording() else NO_SPAN


class _Recorded(Span):
    recording = True

    def __init__(self, tracer: Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self.trace_id = format(span.get_span_context().trace_id, "032x")

    def child(
        self, name: str, attributes: Attributes | None = None, begin: float | None = None
    ) -> Span:
        span = self._tracer.start_span(
            name,
            set_span_in_context(self._span),
            SpanKind.INTERNAL,
            attributes,
            start_time=_nanoseconds(begin),
        )
        return _Recorded(self._tracer, span)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def end(self, at: float | None = None, error: str = "") -> None:
        if not self._span.is_recording():
            return
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(_nanoseconds(at))


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1e9)
