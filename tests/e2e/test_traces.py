"""One trace from the HTTP request to the tokens, as a real OTLP collector receives it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import FREE_PORTS
from tests.support.collector import Collector
from tests.support.server_process import ServerProcess, run_sterna

pytestmark = pytest.mark.e2e

SECRET = "xylophone-zeppelin"
CHAT = "chat sterna/tern-nano"
CALL = "sterna.v1.InferenceService/StreamGenerate"
REQUEST = "POST /v1/chat/completions"
# Spans leave soon, instead of every five seconds.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def server(home: Path, collector: Collector) -> Iterator[ServerProcess]:
    variables = {"STERNA_OTLP_ENDPOINT": collector.endpoint, **SOON}
    with ServerProcess(["serve", *FREE_PORTS], home=home, **variables) as process:
        yield process


def _body(**fields: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": f"Say {SECRET}."}], **fields}


def _ask(url: str, trace_id: str, flags: str = "01", **fields: object) -> httpx.Response:
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-{flags}", "x-request-id": "mine-1"}
    return httpx.post(
        f"{url}/v1/chat/completions", json=_body(**fields), headers=headers, timeout=60
    )


def test_a_request_is_one_trace_down_to_its_tokens(
    server: ServerProcess, collector: Collector
) -> None:
    trace_id = secrets.token_hex(16)
    answer = _ask(server.rest_url, trace_id, stream=True, stream_options={"include_usage": True})
    assert answer.status_code == 200
    spans = collector.trace(trace_id, REQUEST, CALL, CHAT, "queue", "prefill", "decode")
    parents = {name: span.parent_id for name, span in spans.items()}
    assert parents == {
        REQUEST: "00f067aa0ba902b7",
        CALL: spans[REQUEST].span_id,
        CHAT: spans[CALL].span_id,
        "queue": spans[CHAT].span_id,
        "prefill": spans[CHAT].span_id,
        "decode": spans[CHAT].span_id,
    }
    assert spans[REQUEST].scope == "sterna_rest"
    assert spans[CALL].scope == "sterna_service"
    assert spans[REQUEST].resource["service.name"] == "sterna"
    # Each lies within the one above it, one after the other.
    assert spans[REQUEST].start <= spans[CALL].start <= spans["queue"].start + 0.005
    assert spans["queue"].end == spans["prefill"].start
    assert spans["prefill"].end == spans["decode"].start
    assert spans["decode"].end <= spans[CHAT].end <= spans[CALL].end <= spans[REQUEST].end
    assert spans[REQUEST].attributes["http.route"] == "/v1/chat/completions"
    assert spans[REQUEST].attributes["http.response.status_code"] == 200
    assert spans[REQUEST].attributes["sterna.request_id"] == "mine-1"
    assert spans[CALL].attributes["sterna.request_id"] == "mine-1"
    assert spans[CALL].attributes["rpc.response.status_code"] == "OK"
    usage = spans[CHAT].attributes
    assert usage["gen_ai.usage.input_tokens"] > 5
    assert usage["gen_ai.usage.output_tokens"] > 0
    assert (
        usage["gen_ai.usage.output_tokens"]
        == (spans["decode"].attributes["gen_ai.usage.output_tokens"])
    )
    assert not any(span.failed for span in spans.values())


def test_an_error_is_told_by_its_kind(server: ServerProcess, collector: Collector) -> None:
    trace_id = secrets.token_hex(16)
    assert _ask(server.rest_url, trace_id, model="no/such").status_code == 404
    spans = collector.trace(trace_id, REQUEST, "sterna.v1.InferenceService/Generate")
    call = spans["sterna.v1.InferenceService/Generate"]
    assert call.failed
    assert call.attributes["error.type"] == "MODEL_NOT_FOUND"
    assert call.attributes["rpc.response.status_code"] == "NOT_FOUND"
    # The client's fault is no failure of the server's.
    assert not spans[REQUEST].failed


def test_a_caller_that_does_not_trace_is_followed(
    server: ServerProcess, collector: Collector
) -> None:
    untraced, traced = secrets.token_hex(16), secrets.token_hex(16)
    assert _ask(server.rest_url, untraced, flags="00").status_code == 200
    assert _ask(server.rest_url, traced).status_code == 200
    assert httpx.get(f"{server.rest_url}/health").status_code == 200
    collector.trace(traced, REQUEST)
    assert not any(span.trace_id == untraced for span in collector.spans())
    assert not any("health" in span.name.lower() for span in collector.spans())


def test_embeddings_are_traced_too(server: ServerProcess, collector: Collector) -> None:
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    body = {"input": f"Embed {SECRET}."}
    answer = httpx.post(f"{server.rest_url}/v1/embeddings", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200
    name = "embeddings sterna/tern-nano"
    span = collector.trace(trace_id, "POST /v1/embeddings", name)[name]
    assert span.attributes["gen_ai.usage.input_tokens"] == answer.json()["usage"]["prompt_tokens"]


def test_no_text_leaves_in_a_span(server: ServerProcess, collector: Collector) -> None:
    trace_id = secrets.token_hex(16)
    answer = _ask(server.rest_url, trace_id, user=SECRET)
    text = answer.json()["choices"][0]["message"]["content"]
    collector.trace(trace_id, REQUEST, "decode")
    for raw in collector.raw:
        assert SECRET.encode() not in raw
        assert text.encode() not in raw


def test_spans_leave_before_the_server_does(home: Path) -> None:
    trace_id = secrets.token_hex(16)
    with Collector() as collector:
        late = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
        flags = ["serve", *FREE_PORTS, "--otlp-endpoint", collector.endpoint]
        with ServerProcess(flags, home=home, **late) as server:
            assert _ask(server.rest_url, trace_id).status_code == 200
            assert not collector.spans()
        collector.trace(trace_id, REQUEST, "decode", seconds=1)


def test_a_collector_that_is_not_there_is_no_problem(home: Path) -> None:
    flags = ["serve", *FREE_PORTS, "--otlp-endpoint", "http://127.0.0.1:9", "--grace", "1"]
    with ServerProcess(flags, home=home, **SOON) as server:
        assert _ask(server.rest_url, secrets.token_hex(16)).status_code == 200
    assert server.process.returncode == 0


def test_no_exporter_is_imported_when_traces_are_off(home: Path) -> None:
    # The interpreter lists what it imports on standard error.
    with ServerProcess(["serve", *FREE_PORTS], home=home, PYTHONPROFILEIMPORTTIME="1") as server:
        assert httpx.get(f"{server.rest_url}/health").status_code == 200
        assert "sterna_service.telemetry.spans" in server.output
        # FastAPI imports the API on its own account; the rest is ours to leave out.
        for part in (
            "opentelemetry.sdk",
            "opentelemetry.exporter",
            "sterna_service.telemetry.otel",
        ):
            assert part not in server.output


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4317", "ftp://x:1", "http://host"])
def test_an_endpoint_that_is_none(home: Path, endpoint: str) -> None:
    result = run_sterna("serve", "--otlp-endpoint", endpoint, home=home)
    assert result.returncode == 2
    assert "--otlp-endpoint: should be http://HOST:PORT" in result.stderr
