"""`sterna serve` as its users meet it: `openai`, HTTP, the Python client, `buf curl`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from sterna import Client
from tests.support.server_process import ServerProcess, run_sterna

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
BUF = Path(sys.executable).parent / "buf"


@pytest.fixture(scope="module")
def openai_client(server: ServerProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.rest_url}/v1", api_key="unused", max_retries=0)


def test_openai_chat(openai_client: openai.OpenAI) -> None:
    completion = openai_client.chat.completions.create(
        model="sterna/tern-nano", messages=[{"role": "user", "content": QUESTION}]
    )
    assert completion.choices[0].message.content == ANSWER
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == (
        completion.usage.prompt_tokens + completion.usage.completion_tokens
    )


def test_openai_streamed_chat(openai_client: openai.OpenAI) -> None:
    chunks = list(
        openai_client.chat.completions.create(
            model="tern-nano", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1


def test_what_the_banner_says_to_paste_works(server: ServerProcess) -> None:
    lines = server.output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  curl "))
    command = "\n".join(lines[start : start + 2])
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["choices"][0]["message"]["content"] == ANSWER

    start = next(number for number, line in enumerate(lines) if "<<'EOF'" in line)
    end = lines.index("  EOF")
    program = "\n".join(line.removeprefix("  ") for line in lines[start + 1 : end])
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout == f"{ANSWER}\n", result.stderr


def test_ready_and_alive(server: ServerProcess) -> None:
    assert httpx.get(f"{server.rest_url}/ready").status_code == 200
    assert httpx.get(f"{server.rest_url}/health").json()["status"] == "healthy"


def test_python_client(server: ServerProcess) -> None:
    with Client(server.grpc_address) as client:
        assert client.chat(QUESTION).text == ANSWER
        with client.stream_chat(QUESTION) as stream:
            assert "".join(stream.text_stream) == ANSWER


def test_buf_curl_streams_the_same_answer(server: ServerProcess) -> None:
    request = {
        "spec": {"chat": {"messages": [{"role": "ROLE_USER", "content": [{"text": QUESTION}]}]}}
    }
    result = subprocess.run(
        [
            str(BUF),
            "curl",
            "--http2-prior-knowledge",
            "--protocol",
            "grpc",
            "--data",
            json.dumps(request),
            f"http://{server.grpc_address}/sterna.v1.InferenceService/StreamGenerate",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    events = _json_stream(result.stdout)
    assert next(iter(events[0])) == "started"
    assert "".join(event["delta"].get("text", "") for event in events if "delta" in event) == ANSWER
    assert events[-1]["usage"]["completionTokenCount"] > 0


def test_models_of_a_running_core(server: ServerProcess, home: Path) -> None:
    result = run_sterna("models", "--core", server.grpc_address, home=home)
    assert result.returncode == 0, result.stderr
    (row,) = (line for line in result.stdout.splitlines() if line.startswith("sterna/tern-nano"))
    assert row.endswith("loaded, default")


def _json_stream(text: str) -> list[dict[str, dict[str, Any]]]:
    """Objects that follow each other, as `buf curl` prints a stream."""
    decoder, position, found = json.JSONDecoder(), 0, []
    while position < len(text.rstrip()):
        value, position = decoder.raw_decode(text, position)
        found.append(value)
        while position < len(text) and text[position].isspace():
            position += 1
    return found


def test_further_listeners(home: Path) -> None:
    arguments = ["serve", "--port", "0", "--grpc-port", "0"]
    arguments += ["--listen", "127.0.0.1:0,ollama", "--listen", "127.0.0.1:0"]
    with ServerProcess(arguments, home=home) as server:
        named = re.findall(r"^ +(http://[0-9.:]+)$", server.output, re.MULTILINE)
        assert len(named) == 2
        assert httpx.get(f"{named[0]}/api/tags").json()["models"][0]["name"] == "sterna/tern-nano"
        assert httpx.get(f"{named[1]}/api/models").json()["models"][0]["loaded"] is True
        for url in (server.rest_url, *named):
            assert httpx.get(f"{url}/v1/models").status_code == 200


@pytest.mark.parametrize("value", ["nonsense", "127.0.0.1:99999", "127.0.0.1:0,other"])
def test_listeners_that_are_none(home: Path, value: str) -> None:
    refused = run_sterna("serve", "--listen", value, home=home)
    assert refused.returncode == 2
    assert "listen" in refused.stderr
    assert "Traceback" not in refused.stderr
