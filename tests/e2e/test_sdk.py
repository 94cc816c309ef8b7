"""`from sterna import Server, LLM`, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.support.server_process import clean_environment

PROGRAM = """
from sterna import LLM, Server

server = Server(LLM(num_threads=1, max_batch=2), aliases={"gpt-*": "sterna/tern-nano"})

@server.app.get("/hello/{name}")
async def hello(name: str) -> dict[str, str]:
    return {"hello": name}

server.run(host="127.0.0.1", port=0, grpc_port=0)
print("stopped", flush=True)
"""


def test_server_from_code_with_a_route_of_its_own(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(home),
    )
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        banner = ""
        for line in process.stdout:
            banner += line
            if "Ctrl-C stops the server" in line:
                break
        match = re.search(r"REST\s+(http://\S+)/v1", banner)
        assert match, banner
        url = match[1]
        assert httpx.get(f"{url}/hello/tern").json() == {"hello": "tern"}
        answer = httpx.post(
            f"{url}/v1/chat/completions",
            json={
                "model": "gpt-4o",
                "messages": [{"role": "user", "content": "What is the capital of France?"}],
            },
            timeout=60,
        ).json()
        assert answer["choices"][0]["message"]["content"] == "The capital of France is Paris."
        os.kill(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "stopped\n"
        assert process.wait(30) == 0
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ("Server()", "TypeError", "given nothing"),
        ("Server(LLM(), LLM())", "TypeError", "given LLM, LLM"),
        ("Server(TTS(), TTS())", "TypeError", "given TTS, TTS"),
        ("Server('x')", "TypeError", "given str"),
        ("Server(Whisper(compute_type='int3'))", "ConfigurationError", "whisper-compute-type"),
        ("Server(LLM(unembed_quant='int3'))", "ConfigurationError", "unembed-quant"),
        ("Server(LLM(lora_quant='q6_k'))", "ConfigurationError", "adapter-precision"),
        (
            "Server(LLM(adapter_dir='/no/such/adapter')).run(port=0, grpc_port=0)",
            "CommandError",
            "/no/such/adapter",
        ),
        ("LLM(trust_remote_code=True)", "ValueError", "never runs code"),
        ("Server(LLM(num_threads=-1))", "ConfigurationError", "threads"),
        ("Server(LLM(), prot=1)", "ConfigurationError", "did you mean port"),
        (
            "Server(LLM('/no/such/model')).run(port=0, grpc_port=0)",
            "CommandError",
            "/no/such/model",
        ),
    ],
)
def test_what_cannot_be_is_an_error_that_says_so(
    call: str, error: str, words: str, home: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", f"from sterna import LLM, TTS, Server, Whisper\n{call}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment(home),
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert error in last
    assert words in last
