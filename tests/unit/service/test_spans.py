"""Spans: what is current, how failures are told, and that nothing happens without a recorder."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from sterna_service.errors import Reason, ServiceError
from sterna_service.telemetry.otel import CallTracing
from sterna_service.telemetry.spans import NO_SPAN, current_span, enter_span, kind_of, traced


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> CallTracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return CallTracing(provider)


def test_without_a_recorder_every_part_is_the_same_nothing() -> None:
    with traced("work", size=1) as span:
        assert span is NO_SPAN
        assert current_span() is NO_SPAN
        assert span.child("more") is span
        span.set({"x": 1})
        span.end()


async def test_parts_nest_and_failures_are_told_by_kind(
    tracing: CallTracing, exporter: InMemorySpanExporter
) -> None:
    async def call() -> None:
        span = tracing.begin("p.S/M", [])
        enter_span(span)
        with pytest.raises(ServiceError), traced("outer"), traced("inner", size=2):
            raise ServiceError(Reason.QUEUE_FULL, "a text that may name a user's words")
        assert current_span() is span
        span.end()
        # A second end changes nothing.
        span.end(error="LATE")

    await asyncio.create_task(call())
    assert current_span() is NO_SPAN
    inner, outer, root = exporter.get_finished_spans()
    assert [inner.name, outer.name, root.name] == ["inner", "outer", "p.S/M"]
    assert inner.parent is not None
    assert outer.parent is not None
    assert outer.context is not None
    assert root.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert outer.parent.span_id == root.context.span_id
    assert inner.attributes == {"size": 2, "error.type": "QUEUE_FULL"}
    assert not any("words" in str(span.to_json()) for span in (inner, outer))
    assert root.status.is_ok


def test_the_caller_is_the_parent(tracing: CallTracing, exporter: InMemorySpanExporter) -> None:
    trace_id, parent_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    span = tracing.begin("p.S/M", [("traceparent", f"00-{trace_id}-{parent_id}-01"), ("x", b"y")])
    assert span.trace_id == trace_id
    span.end()
    (seen,) = exporter.get_finished_spans()
    assert seen.parent is not None
    assert format(seen.parent.span_id, "016x") == parent_id


@pytest.mark.parametrize(
    "bad", ["", "00-zz-yy-01", "hello", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"]
)
def test_a_bad_traceparent_begins_a_trace_of_its_own(tracing: CallTracing, bad: str) -> None:
    span = tracing.begin("p.S/M", [("traceparent", bad)])
    assert len(span.trace_id) == 32
    assert span.trace_id != "0" * 32


def test_a_call_that_is_not_sampled_has_no_span() -> None:
    span = CallTracing(TracerProvider(sampler=ALWAYS_OFF)).begin("p.S/M", [])
    assert span is NO_SPAN


def test_kinds_of_failures() -> None:
    assert kind_of(None) == ""
    assert kind_of(asyncio.CancelledError()) == "CANCELLED"
    assert kind_of(GeneratorExit()) == "CANCELLED"
    assert kind_of(ValueError("with a text")) == "ValueError"
