"""An OTLP collector: it takes traces over gRPC as any other one does, and keeps them."""

from __future__ import annotations

import threading
import time
from concurrent import futures
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

OK = 0
ERROR = 2


@dataclass(frozen=True)
class SpanSeen:
    """A span as it came, with its attributes as plain values. Times are in seconds."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start: float
    end: float
    attributes: dict[str, Any]
    failed: bool
    scope: str
    resource: dict[str, Any]


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Listens while the `with` block runs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._spans: list[SpanSeen] = []
        self.raw: list[bytes] = []
        """Every request as it came."""

    def __enter__(self) -> Self:
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        add = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(self, self._server)  # type: ignore[no-untyped-call]
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(0)

    @property
    def endpoint(self) -> str:
        """What the setting `otlp_endpoint` takes."""
        return f"http://127.0.0.1:{self._port}"

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802, the protocol's name
        with self._changed:
            self.raw.append(request.SerializeToString())
            for group in request.resource_spans:
                resource = _plain(group.resource.attributes)
                for scope in group.scope_spans:
                    self._spans += [_seen(span, scope.scope.name, resource) for span in scope.spans]
            self._changed.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[SpanSeen]:
        """Those that came so far."""
        with self._changed:
            return list(self._spans)

    def trace(self, trace_id: str, *names: str, seconds: float = 60.0) -> dict[str, SpanSeen]:
        """The spans of a trace by name, once all of `names` have come."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                found = {each.name: each for each in self._spans if each.trace_id == trace_id}
                if set(names) <= set(found):
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{set(names) - set(found)} did not come; {found}")
                self._changed.wait(left)


def _seen(span: Span, scope: str, resource: dict[str, Any]) -> SpanSeen:
    return SpanSeen(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        attributes=_plain(span.attributes),
        failed=span.status.code == ERROR,
        scope=scope,
        resource=resource,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
        for each in attributes
    }
