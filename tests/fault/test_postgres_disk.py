"""PostgreSQL on a disk that is full, and then is not. scripts/test_postgres.sh runs these tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sterna.v1 import inference_pb2
from sterna_service.app import CoreOptions
from tests.support.core import PATIENCE, CoreClient, Refusal, chat, running_core
from tests.support.postgres_server import BIN_VARIABLE, PostgresServer, postgres_server
from tests.support.small_disk import need_mounts

pytestmark = pytest.mark.skipif(
    BIN_VARIABLE not in os.environ, reason="needs PostgreSQL; scripts/test_postgres.sh runs it"
)

FULL = (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
AWAY = (grpc.StatusCode.UNAVAILABLE, "STATE_UNAVAILABLE")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    need_mounts()
    with postgres_server("96m", tmp_path / "disk") as server:
        yield server


def options(home: Path, server: PostgresServer) -> CoreOptions:
    return CoreOptions(home=home, port=0, database_url=server.url)


async def create(core: CoreClient, name: str) -> None:
    messages = chat(os.urandom(15_000).hex()).chat.messages
    request = inference_pb2.CreateSessionRequest(session_id=name, messages=messages)
    await core.inference.CreateSession(request, timeout=PATIENCE)


async def create_until(core: CoreClient, *expected: tuple[grpc.StatusCode, str]) -> set[str]:
    """Makes conversations until one is refused in one of these ways; returns the others."""
    kept: set[str] = set()
    for number in range(2000):
        try:
            await create(core, f"s{number}")
        except grpc.aio.AioRpcError as error:
            refused = Refusal.of(error)
            assert (refused.code, refused.reason) in expected, refused
            return kept
        kept.add(f"s{number}")
    raise AssertionError("the disk was never full")


async def sessions(core: CoreClient) -> set[str]:
    """The conversations, each of which is whole."""
    request = inference_pb2.ListSessionsRequest(page_size=1000)
    listed = (await core.inference.ListSessions(request, timeout=PATIENCE)).sessions
    for each in listed:
        ask = inference_pb2.GetSessionRequest(session_id=each.session_id, include_messages=True)
        whole = await core.inference.GetSession(ask, timeout=PATIENCE)
        assert len(whole.messages[0].content[0].text) == 30_000
    return {each.session_id for each in listed}


async def answers(core: CoreClient) -> bool:
    return bool((await core.generate(chat("What is the capital of France?"))).choices[0].text)


async def test_tables_that_find_no_room(sterna_home: Path, server: PostgresServer) -> None:
    async with running_core(options(sterna_home, server)) as core:
        await create(core, "before")
        await asyncio.to_thread(server.fill_disk)
        kept = {"before"} | await create_until(core, FULL)
        assert await answers(core)
        assert await sessions(core) == kept
        server.make_room()
        await create(core, "after")
        assert await sessions(core) == kept | {"after"}


async def test_a_log_that_finds_no_room(sterna_home: Path, server: PostgresServer) -> None:
    """PostgreSQL ends itself then, and somebody has to start it again."""
    await asyncio.to_thread(server.keep_log)
    async with running_core(options(sterna_home, server)) as core:
        await create(core, "before")
        await asyncio.to_thread(server.fill_disk)
        kept = {"before"} | await create_until(core, FULL, AWAY)
        await asyncio.to_thread(server.exhaust_log)
        assert await create_until(core, AWAY) == set()
        assert await answers(core)
        server.make_room()
        await asyncio.to_thread(server.start)
        assert await sessions(core) == kept
        await create(core, "after")
        assert await sessions(core) == kept | {"after"}
