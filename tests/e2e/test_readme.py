"""What the README shows can be pasted, and does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess, clean_environment

README = Path(__file__).parents[2] / "README.md"
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


def blocks(language: str, needle: str) -> list[str]:
    """The README's code blocks of a language that contain `needle`."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    return [block for block in found if needle in block]


def run(command: list[str], server: ServerProcess, home: Path, stdin: str = "") -> str:
    """Standard output of a command, with the ports of `server` in place of the default ones."""
    rest = server.rest_url.removeprefix("http://")
    command = [
        part.replace("127.0.0.1:8000", rest).replace("127.0.0.1:50051", server.grpc_address)
        for part in command
    ]
    environment = clean_environment(home)
    programs = Path(sys.executable).parent
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    result = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_examples_are_found() -> None:
    assert [len(blocks(*wanted)) for wanted in CALLS] == [1] * len(CALLS)


CALLS = [
    ("bash", "curl http://127.0.0.1:8000"),
    ("bash", "buf curl"),
    ("python", "from openai import"),
    ("python", "from sterna import Client"),
]


@pytest.mark.parametrize(("language", "needle"), CALLS)
def test_call(language: str, needle: str, server: ServerProcess, home: Path) -> None:
    (block,) = blocks(language, needle)
    program = ["bash", "-c"] if language == "bash" else [sys.executable, "-c"]
    output = run([*program, block], server, home)
    if "buf curl" in block:
        # One JSON object per event; the text is in their deltas.
        output = "".join(re.findall(r'"text": "([^"]*)"', output))
    assert ANSWER in output


def test_terminal_chat(server: ServerProcess, home: Path) -> None:
    (block,) = blocks("bash", "sterna chat --core")
    for line in block.splitlines():
        assert run(["bash", "-c", line], server, home, stdin=QUESTION) == f"{ANSWER}\n"
