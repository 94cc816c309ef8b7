"""Limits of the real command: of its settings, of a listener, and of a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sterna import Client
from sterna.errors import LimitError
from tests.e2e.conftest import FREE_PORTS
from tests.support.server_process import ServerProcess, run_sterna


@pytest.fixture(scope="module")
def limited(home: Path) -> Iterator[ServerProcess]:
    arguments = ["serve", *FREE_PORTS, "--limit-requests", "2", "--trusted-proxies", "127.0.0.1"]
    arguments += ["--listen", "127.0.0.1:0,requests=1"]
    with ServerProcess(arguments, home=home) as process:
        yield process


def statuses(url: str, client: str) -> list[int]:
    headers = {"x-forwarded-for": client}
    return [httpx.get(f"{url}/v1/models", headers=headers).status_code for _ in range(3)]


def test_each_client_of_each_listener_for_itself(limited: ServerProcess) -> None:
    further = re.findall(r"^ {9}(http\S+)$", limited.output, re.MULTILINE)
    assert statuses(limited.rest_url, "192.0.2.1") == [200, 200, 429]
    assert statuses(limited.rest_url, "192.0.2.2") == [200, 200, 429]
    assert statuses(further[0], "192.0.2.1") == [200, 429, 429]
    assert httpx.get(f"{limited.rest_url}/health").status_code == 200


def test_the_grpc_port(limited: ServerProcess) -> None:
    with Client(limited.grpc_address) as client:
        client.server_info()
        client.server_info()
        with pytest.raises(LimitError) as caught:
            client.server_info()
    assert caught.value.reason == "RATE_LIMITED"


def test_a_key_with_limits(home: Path) -> None:
    made = run_sterna("keys", "create", "few", "--requests", "1", home=home)
    key = made.stdout.strip()
    with ServerProcess(["serve", *FREE_PORTS, "--auth", "keys"], home=home) as server:
        headers = {"authorization": f"Bearer {key}"}
        first = httpx.get(f"{server.rest_url}/v1/models", headers=headers)
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        second = httpx.get(f"{server.rest_url}/v1/models", headers=headers)
        assert second.status_code == 429
        assert "1 requests per minute" in second.json()["error"]["message"]
    assert "few" in run_sterna("keys", "list", home=home).stdout
