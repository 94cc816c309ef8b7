"""A real server under ten thousand connections and under a flood: others are answered meanwhile."""

from __future__ import annotations

import asyncio
import re
import resource
from collections.abc import Iterator

import httpx
import pytest

from benchmarks.siege import Siege, Target, flood, silent, silent_grpc, watching
from tests.support.server_process import ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

MANY = 10_000
LIMIT = 100
# Of the test's own, and of the server beside its connections.
_SPARE_FILES = 500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    arguments = ["serve", "--port", "0", "--grpc-port", "0", "--trusted-proxies", "127.0.0.1"]
    arguments += ["--limit-requests", str(LIMIT)]
    with ServerProcess(arguments, home=tmp_path_factory.mktemp("home")) as process:
        yield process


@pytest.fixture
def many() -> Iterator[int]:
    """As many connections as this process may open, at most `MANY`."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield min(MANY, before[1] - _SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def target(server: ServerProcess, client: str, connections: int = 0) -> Target:
    headers = {"x-forwarded-for": client}
    return Target(server.rest_url, server.grpc_address, connections, 3.0, headers)


@pytest.mark.parametrize("siege", [silent, silent_grpc])
async def test_ten_thousand_connections(server: ServerProcess, many: int, siege: Siege) -> None:
    if many < MANY:
        pytest.skip(f"NOT RUN: the limit of open files (ulimit -Hn) allows only {many} connections")
    held: list[asyncio.StreamWriter] = []
    async with watching(target(server, "192.0.2.1")) as watch:
        told = await siege(target(server, "192.0.2.2", many), held)
        await asyncio.sleep(1.0)
    assert told.startswith(f"{many} of {many} connections opened")
    assert watch.all_answered, watch.summary()
    for writer in held:
        writer.close()
    async with httpx.AsyncClient(base_url=server.rest_url, timeout=60) as client:
        assert (await client.get("/health")).status_code == 200


async def test_a_flood_beyond_every_limit(server: ServerProcess) -> None:
    async with watching(target(server, "192.0.2.4")) as watch:
        told = await flood(target(server, "192.0.2.5"), [])
    outcomes = {status: int(count) for status, count in re.findall(r"'(\w+)': (\d+)", told)}
    assert set(outcomes) == {"200", "429"}
    assert outcomes["200"] <= LIMIT < outcomes["429"] + outcomes["200"]
    assert set(watch.outcomes) == {"/health 200", "/v1/chat/completions 200"}, watch.summary()
