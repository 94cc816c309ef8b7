"""Core and façade in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server_process import ServerProcess

QUESTION = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
ANSWER = "The capital of France is Paris."


@pytest.fixture
def rest(home: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """A façade whose core is not there yet."""
    arguments = ["rest", "--core", f"unix:{tmp_path / 'core.sock'}", "--port", "0"]
    with ServerProcess(arguments, home=home) as process:
        yield process


def test_facade_waits_for_its_core_and_survives_it(
    rest: ServerProcess, home: Path, tmp_path: Path
) -> None:
    chat_url = f"{rest.rest_url}/v1/chat/completions"
    assert httpx.get(f"{rest.rest_url}/health").status_code == 200
    assert httpx.get(f"{rest.rest_url}/ready").status_code == 503
    refused = httpx.post(chat_url, json=QUESTION)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "service_unavailable"

    core = ["core", "--grpc-port", "0", "--unix-path", str(tmp_path / "core.sock")]
    for _ in range(2):
        with ServerProcess(core, home=home):
            _until_ready(rest.rest_url)
            answer = httpx.post(chat_url, json=QUESTION, timeout=60)
            assert answer.json()["choices"][0]["message"]["content"] == ANSWER
        assert httpx.get(f"{rest.rest_url}/ready").status_code == 503
        assert httpx.get(f"{rest.rest_url}/health").status_code == 200


def _until_ready(rest_url: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while httpx.get(f"{rest_url}/ready").status_code != 200:
        assert time.monotonic() < deadline, "the façade does not find its core again"
        time.sleep(0.1)
