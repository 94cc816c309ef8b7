"""The logs of a whole server: request ids in both halves, and nothing that a user wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from sterna.v1 import inference_pb2, inference_pb2_grpc
from tests.e2e.conftest import FREE_PORTS
from tests.support.core import chat
from tests.support.server_process import ServerProcess

pytestmark = pytest.mark.e2e

SECRET = "quetzalcoatlus"
"""What users write; nobody else would."""
SAY = f"Say the word {SECRET} please."
MESSAGES = [{"role": "user", "content": SAY}]
TOOL = {
    "type": "function",
    "function": {"name": "look", "description": SAY, "parameters": {"type": "object"}},
}

# Requests of every family, right and wrong: path, body.
BODIES: list[tuple[str, Any]] = [
    ("/v1/chat/completions", {"messages": MESSAGES}),
    ("/v1/chat/completions", {"messages": MESSAGES, "stream": True, "user": SECRET}),
    ("/v1/chat/completions", {"messages": MESSAGES, "tools": [TOOL]}),
    ("/v1/chat/completions", {"messages": MESSAGES, "stop": [SECRET], "n": 2}),
    ("/v1/chat/completions", {"messages": MESSAGES, "temperature": SECRET}),
    ("/v1/chat/completions", {"messages": [{"role": SECRET, "content": SAY}]}),
    ("/v1/chat/completions", {"messages": MESSAGES, "model": SECRET}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": SAY * 3000}]}),
    ("/v1/chat/completions", f'{{"messages": [{{"{SECRET}'),
    ("/v1/completions", {"prompt": SAY, "echo": True, "logprobs": 2, "max_tokens": 8}),
    ("/v1/completions", {"prompt": [SAY, SAY], "max_tokens": 4, "stream": True}),
    ("/v1/responses", {"input": SAY, "max_output_tokens": 16}),
    ("/v1/responses", {"input": SAY, "previous_response_id": SECRET}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 8, "model": "tern-nano"}),
    ("/v1/embeddings", {"input": [SAY, SECRET]}),
    ("/v1/embeddings", {"input": SAY, "dimensions": 10**6}),
    ("/api/chat", {"message": SAY}),
    ("/tokenize", {"text": SAY}),
    ("/tokenize", {"messages": MESSAGES, "text": SAY}),
    (f"/{SECRET}", {"x": SAY}),
    (f"/v1/models/{SECRET}/start", {}),
]


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[ServerProcess]:
    flags = ["serve", *FREE_PORTS, "--log-level", "debug", "--log-format", "json"]
    with ServerProcess(flags, home=home) as process:
        yield process


def _lines(server: ServerProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]


def test_a_request_id_is_in_the_lines_of_both_halves_and_in_the_answer(
    server: ServerProcess,
) -> None:
    url = f"{server.rest_url}/v1/chat/completions"
    answer = httpx.post(
        url, json={"messages": MESSAGES}, headers={"x-request-id": "my-id-1"}, timeout=60
    )
    assert answer.headers["x-request-id"] == "my-id-1"
    own = httpx.post(url, json={"messages": MESSAGES}, timeout=60).headers["x-request-id"]
    for request_id in ("my-id-1", own):
        # It is written when the answer has left.
        server.wait_for_output(f'"request_id": "{request_id}", "client"', 30)
        of_it = [line for line in _lines(server) if line.get("request_id") == request_id]
        by_message = {line["message"]: line for line in of_it}
        assert set(by_message) == {"call", "request"}
        call, request = by_message["call"], by_message["request"]
        assert call["method"] == "/sterna.v1.InferenceService/Generate"
        assert call["outcome"] == "OK"
        assert call["prompt_tokens"] > 0
        assert (request["method"], request["status"]) == ("POST", 200)
        assert request["route"] == "/v1/chat/completions"
        assert request["seconds"] >= call["seconds"] > 0


def test_an_id_that_could_break_a_line_is_replaced(server: ServerProcess) -> None:
    sent = f"{SECRET} and more"
    answer = httpx.get(f"{server.rest_url}/v1/models", headers={"x-request-id": sent})
    assert answer.headers["x-request-id"].startswith("req_")


def test_a_grpc_caller_gets_its_id_back(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        request = inference_pb2.GenerateRequest(spec=chat(SAY))
        metadata = (("x-request-id", "my-grpc-id"),)
        _, call = stub.Generate.with_call(request, metadata=metadata, timeout=60)
        assert ("x-request-id", "my-grpc-id") in [tuple(each) for each in call.initial_metadata()]
    server.wait_for_output('"request_id": "my-grpc-id"', 30)
    assert any(line.get("request_id") == "my-grpc-id" for line in _lines(server))


def test_nothing_that_users_write_or_models_answer_is_logged(server: ServerProcess) -> None:
    said = set()
    with httpx.Client(base_url=server.rest_url, timeout=60) as client:
        for path, body in BODIES:
            content = body if isinstance(body, str) else json.dumps(body)
            headers = {"content-type": "application/json"}
            answer = client.post(path, content=content, headers=headers)
            assert answer.status_code < 500, (path, body, answer.text)
            if path == "/v1/chat/completions" and answer.status_code == 200:
                said |= _texts(answer)
        client.get(f"/v1/models/{SECRET}?x={SECRET}")
        client.put("/health", content=SAY)
    assert said
    server.wait_for_output('"method": "PUT"', 30)
    output = server.output
    assert SECRET not in output.lower()
    assert not [text for text in said if text in output]
    # They were logged all the same.
    routes = [line.get("route") for line in _lines(server) if line["message"] == "request"]
    assert len(routes) >= len(BODIES)
    assert "unmatched" in routes


def test_probes_are_only_logged_for_those_who_debug(server: ServerProcess, home: Path) -> None:
    httpx.get(f"{server.rest_url}/livez").raise_for_status()
    server.wait_for_output('"route": "/livez"', 30)
    probe = next(line for line in _lines(server) if line.get("route") == "/livez")
    assert probe["level"] == "debug"
    with ServerProcess(["serve", *FREE_PORTS], home=home) as usual:
        for path in ("/livez", "/readyz", "/health", "/ready", "/metrics", "/v1/models"):
            httpx.get(usual.rest_url + path).raise_for_status()
        usual.wait_for_output("route=/v1/models", 30)
        assert "route=/livez" not in usual.output
        assert "route=/metrics" not in usual.output


def _texts(answer: httpx.Response) -> set[str]:
    """What the model said, if it is long enough not to be there by chance."""
    if not answer.headers["content-type"].startswith("application/json"):
        return set()
    contents = [choice["message"]["content"] for choice in answer.json()["choices"]]
    return {content for content in contents if content and len(content) > 12}
