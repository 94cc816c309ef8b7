"""One page for core and façade of one process; a page each for processes on their own."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import httpx
import pytest

from tests.support.metrics import Scrape, parse
from tests.support.server_process import ServerProcess, run_sterna

pytestmark = pytest.mark.e2e

BODY = {"messages": [{"role": "user", "content": "Hi"}]}
HTTP = "http_server_request_duration_seconds_count"
RPC = "rpc_server_call_duration_seconds_count"
_ADDRESS = re.compile(r"metrics address=(\S+)")


def _page(address: str) -> Scrape:
    answer = httpx.get(f"{address}/metrics", timeout=30)
    assert answer.status_code == 200
    return parse(answer.text)


def _own_page(server: ServerProcess) -> str:
    server.wait_for_output("metrics address=", 30)
    found = _ADDRESS.search(server.output)
    assert found is not None
    return f"http://{found[1]}"


def test_one_page_has_both_halves(home: Path) -> None:
    with ServerProcess(["serve", "--port", "0", "--grpc-port", "0"], home=home) as server:
        url = server.rest_url
        assert httpx.post(f"{url}/v1/chat/completions", json=BODY, timeout=60).status_code == 200
        page = _page(url)
        assert page.value(HTTP, http_route="/v1/chat/completions") == 1
        assert page.value(RPC, rpc_method="sterna.v1.InferenceService/Generate") == 1
        assert not any(name.endswith("_created") for name in page.samples)


def test_a_listener_of_its_own(home: Path) -> None:
    flags = ["--port", "0", "--grpc-port", "0", "--metrics-listen", "127.0.0.1:0"]
    with ServerProcess(["serve", *flags], home=home) as server:
        assert httpx.get(f"{server.rest_url}/metrics").status_code == 404
        page = _page(_own_page(server))
        assert page.value(HTTP, http_response_status_code="404") == 1
        assert "sterna_build_info" in page.families


def test_core_and_facade_on_their_own(home: Path) -> None:
    core_flags = ["core", "--grpc-port", "0", "--metrics-listen", "127.0.0.1:0"]
    with ServerProcess(core_flags, home=home) as core:
        rest_flags = ["rest", "--port", "0", "--core", core.grpc_address]
        with ServerProcess(rest_flags, home=home) as rest:
            url = rest.rest_url
            answer = httpx.post(f"{url}/v1/chat/completions", json=BODY, timeout=60)
            assert answer.status_code == 200
            facade, engine = _page(url), _page(_own_page(core))
    assert facade.value(HTTP, http_route="/v1/chat/completions") == 1
    assert RPC not in facade.samples
    for page in (facade, engine):
        assert page.value("process_resident_memory_bytes") > 0
    assert engine.value(RPC, rpc_method="sterna.v1.InferenceService/Generate") == 1
    assert HTTP not in engine.samples


def test_an_address_that_is_taken_keeps_the_server_from_starting(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        for command in (["serve", "--port", "0"], ["core"]):
            flags = ["--grpc-port", "0", "--metrics-listen", address]
            result = run_sterna(*command, *flags, home=home)
            assert result.returncode == 2
            assert "--metrics-listen" in result.stderr.splitlines()[-1]
            assert "Traceback" not in result.stderr
