"""`sterna keys`, and servers that ask for one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.e2e.conftest import FREE_PORTS
from tests.support.server_process import ServerProcess, run_sterna

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


@pytest.fixture(scope="module")
def locked(home: Path) -> Iterator[ServerProcess]:
    with ServerProcess(["serve", *FREE_PORTS, "--auth", "keys"], home=home) as process:
        yield process


def create(home: Path, *arguments: str) -> str:
    result = run_sterna("keys", "create", *arguments, home=home)
    assert result.returncode == 0, result.stderr
    assert "not shown again" in result.stderr
    (key,) = result.stdout.splitlines()
    return key


def test_a_key_opens_the_server_until_it_is_revoked(locked: ServerProcess, home: Path) -> None:
    assert "no API key exists" in locked.output
    key = create(home, "ann", "--scope", "inference,admin")
    client = openai.OpenAI(base_url=f"{locked.rest_url}/v1", api_key=key, max_retries=0)
    answer = client.chat.completions.create(
        model="", messages=[{"role": "user", "content": QUESTION}], temperature=0
    )
    assert answer.choices[0].message.content == ANSWER
    assert key not in locked.output
    listed = run_sterna("keys", "list", home=home)
    assert "ann" in listed.stdout
    assert run_sterna("keys", "revoke", "ann", home=home).returncode == 0
    time.sleep(1.1)
    with pytest.raises(openai.AuthenticationError, match="revoked"):
        client.models.list()


def test_commands_send_the_key_of_the_settings(locked: ServerProcess, home: Path) -> None:
    key = create(home, "bob")
    asked = ("chat", "--core", locked.grpc_address)
    good = run_sterna(*asked, home=home, stdin=f"{QUESTION}\n", STERNA_API_KEY=key)
    assert good.stdout == f"{ANSWER}\n", good.stderr
    for command in (asked, ("models", "--core", locked.grpc_address)):
        refused = run_sterna(*command, home=home, stdin=f"{QUESTION}\n")
        assert refused.returncode == 2
        assert "an API key is needed" in refused.stderr
    assert (
        run_sterna(
            "models", "--core", locked.grpc_address, home=home, STERNA_API_KEY=key
        ).returncode
        == 0
    )
    # A chat without a server asks nobody, whatever the configuration says.
    alone = run_sterna("chat", home=home, stdin=f"{QUESTION}\n", STERNA_AUTH="keys")
    assert alone.stdout == f"{ANSWER}\n", alone.stderr


def test_health_is_open(locked: ServerProcess) -> None:
    assert httpx.get(f"{locked.rest_url}/health").status_code == 200
    assert httpx.get(f"{locked.rest_url}/ready").status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--host", "0.0.0.0", *FREE_PORTS),
        ("serve", "--listen", "0.0.0.0:0", *FREE_PORTS),
        ("core", "--grpc-host", "0.0.0.0", "--grpc-port", "0"),
        ("rest", "--host", "0.0.0.0", "--port", "0"),
    ],
)
def test_open_to_others_without_keys(arguments: tuple[str, ...], home: Path) -> None:
    result = run_sterna(*arguments, home=home)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "0.0.0.0" in line
    assert "--allow-unauthenticated" in line


def test_open_to_others_on_purpose(home: Path) -> None:
    arguments = ["rest", "--host", "0.0.0.0", "--port", "0", "--allow-unauthenticated"]
    with ServerProcess(arguments, home=home) as server:
        assert httpx.get(f"{server.rest_url}/health").status_code == 200
