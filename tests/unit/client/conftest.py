"""One server per test, and a client of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sterna import AsyncClient
from tests.support.flaky_server import FlakyServer, running


@pytest.fixture
async def server() -> AsyncIterator[FlakyServer]:
    async with running() as servicer:
        yield servicer


@pytest.fixture
async def client(server: FlakyServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.address, timeout=20, generation_timeout=20) as opened:
        yield opened
