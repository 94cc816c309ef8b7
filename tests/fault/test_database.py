"""The database is full, locked or away, and comes back: who is refused, and who is not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa

from sterna.v1 import event_pb2, generation_pb2, inference_pb2, model_admin_pb2
from sterna_service.app import CoreOptions
from tests.support.core import PATIENCE, CoreClient, Refusal, chat, refusal, running_core
from tests.support.hook_server import QUICK, HookServer, hook_server
from tests.support.tcp_gate import TcpGate, tcp_gate

MODEL = "sterna/tern-nano"


@pytest.fixture
def home(sterna_home: Path, tmp_path: Path) -> Path:
    """A home with a database of its own and the packed models of all."""
    bundles = sterna_home / "bundles"
    bundles.mkdir(exist_ok=True)
    (tmp_path / "bundles").symlink_to(bundles)
    return tmp_path


@pytest.fixture
async def core(home: Path) -> AsyncIterator[CoreClient]:
    async with running_core(CoreOptions(home=home, port=0, webhooks=QUICK)) as client:
        yield client


@pytest.fixture
def target() -> Iterator[HookServer]:
    with hook_server() as server:
        yield server


async def create(core: CoreClient, session_id: str) -> None:
    request = inference_pb2.CreateSessionRequest(session_id=session_id)
    await core.inference.CreateSession(request, timeout=PATIENCE)


async def count(core: CoreClient, session_id: str) -> int:
    request = inference_pb2.GetSessionRequest(session_id=session_id)
    session = (await core.inference.GetSession(request, timeout=PATIENCE)).session
    return session.message_count


def question(session_id: str = "") -> generation_pb2.GenerationSpec:
    stop = generation_pb2.StopCriteria(max_tokens=4)
    return chat("What is the capital of France?", session_id=session_id, stop=stop)


async def register(core: CoreClient, url: str) -> None:
    request = model_admin_pb2.CreateWebhookRequest(
        url=url, event_types=[event_pb2.EVENT_TYPE_MODEL_STARTED]
    )
    await core.admin.CreateWebhook(request, timeout=PATIENCE)


async def restart_model(core: CoreClient) -> None:
    await core.admin.UnloadModel(
        model_admin_pb2.UnloadModelRequest(model_id=MODEL), timeout=PATIENCE
    )
    await core.admin.LoadModel(model_admin_pb2.LoadModelRequest(model_id=MODEL), timeout=PATIENCE)


def is_unavailable(refused: Refusal, words: str) -> None:
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STATE_UNAVAILABLE")
    assert words in refused.message
    assert refused.retry_seconds


def move_database(source: Path, target: Path) -> int:
    """Moves the files of a database; returns how many there were."""
    files = list(source.glob("state.db*"))
    for each in files:
        each.rename(target / each.name)
    return len(files)


def back_up(source: Path, target: Path) -> None:
    """Copies a database that is in use."""
    with (
        contextlib.closing(sqlite3.connect(source)) as connection,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        connection.backup(copy)


@contextlib.contextmanager
def another_writer(path: Path) -> Iterator[None]:
    """Another process that has begun to write to the file, and does not end."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_another_process_holds_the_file(
    core: CoreClient, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await create(core, "a")
    with another_writer(home / "state.db"):
        refused, whole = await asyncio.gather(refusal(create(core, "b")), core.generate(question()))
        is_unavailable(refused, "locked by another process")
        assert whole.choices[0].text
        # What only reads goes on.
        assert await count(core, "a") == 0
        is_unavailable(await refusal(core.generate(question("a"))), "locked")
    await create(core, "b")
    # The turn that could not be stored left the conversation free and as it was.
    assert await count(core, "a") == 0
    await core.generate(question("a"))
    assert await count(core, "a") == 2
    # The log says so once, and once that it is over.
    assert caplog.messages.count("the database fails") == 1
    assert caplog.messages.count("the database works again") == 1


async def test_many_that_wait_are_told_in_time(core: CoreClient, home: Path) -> None:
    with another_writer(home / "state.db"):
        begin = time.monotonic()
        refused = await asyncio.gather(*(refusal(create(core, f"s{n}")) for n in range(20)))
        waited = time.monotonic() - begin
    assert {each.reason for each in refused} == {"STATE_UNAVAILABLE"}
    # One after the other would take 100 s.
    assert waited < 60
    await create(core, "s0")


async def test_events_wait_for_the_database(
    core: CoreClient, home: Path, target: HookServer
) -> None:
    await register(core, target.url)
    with another_writer(home / "state.db"):
        await restart_model(core)
        assert target.told == []
    (told,) = await asyncio.to_thread(target.wait, 1)
    assert told.json["event"] == "model.started"


async def test_the_file_is_taken_away_and_brought_back(core: CoreClient, home: Path) -> None:
    await create(core, "a")
    away = home / "away"
    away.mkdir()
    move_database(home, away)
    is_unavailable(await refusal(create(core, "b")), "is gone")
    is_unavailable(await refusal(count(core, "a")), "is gone")
    assert (await core.generate(question())).choices[0].text
    assert move_database(home, home / "nowhere") == 0
    move_database(away, home)
    assert await count(core, "a") == 0
    await create(core, "b")


async def test_another_file_takes_the_place(core: CoreClient, home: Path) -> None:
    """As when a backup is restored while the server runs."""
    await create(core, "a")
    back_up(home / "state.db", home / "copy.db")
    await create(core, "b")
    (home / "old").mkdir()
    move_database(home, home / "old")
    (home / "copy.db").rename(home / "state.db")
    assert await count(core, "a") == 0
    refused = await refusal(count(core, "b"))
    assert refused.reason == "SESSION_NOT_FOUND"
    await create(core, "b")


async def test_a_damaged_file_takes_the_place(core: CoreClient, home: Path) -> None:
    await create(core, "a")
    (home / "old").mkdir()
    move_database(home, home / "old")
    (home / "state.db").write_bytes(b"This was a database. " * 1000)
    is_unavailable(await refusal(create(core, "b")), "is damaged; restore it from a backup")
    is_unavailable(await refusal(count(core, "a")), "is damaged")
    assert (await core.generate(question())).choices[0].text
    move_database(home / "old", home)
    assert await count(core, "a") == 0
    await create(core, "b")


async def test_a_file_without_room(core: CoreClient, home: Path) -> None:
    """SQLite's own limit ends as a full disk does."""
    await create(core, "a")
    database = core.core._kept.database

    def limit(pages: int) -> None:
        with database._engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    # The one connection that writes.
    await asyncio.get_running_loop().run_in_executor(database._writers, limit, 1)
    request = inference_pb2.CreateSessionRequest(session_id="b", messages=question().chat.messages)
    request.messages[0].content[0].text = "x" * 300_000
    refused = await refusal(core.inference.CreateSession(request, timeout=PATIENCE))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert (await core.generate(question())).choices[0].text
    assert await count(core, "a") == 0
    await asyncio.get_running_loop().run_in_executor(database._writers, limit, 2**30)
    await core.inference.CreateSession(request, timeout=PATIENCE)
    assert await count(core, "b") == 1


@contextlib.contextmanager
def way_to(url: str) -> Iterator[tuple[TcpGate, str]]:
    """A way to a PostgreSQL server that can be closed, and the URL that takes it."""
    parsed = sa.make_url(url)
    with tcp_gate(str(parsed.host), int(parsed.port or 5432)) as gate:
        through = parsed.set(host="127.0.0.1", port=gate.port)
        yield gate, through.render_as_string(hide_password=False)


async def test_the_database_server_goes_away_and_comes_back(
    home: Path, database_url: str, target: HookServer
) -> None:
    if not database_url:
        return  # a file has no server; above is what can happen to it
    with way_to(database_url) as (gate, url):
        options = CoreOptions(home=home, port=0, webhooks=QUICK, database_url=url)
        async with running_core(options) as core:
            await create(core, "a")
            await register(core, target.url)
            gate.close()
            is_unavailable(await refusal(create(core, "b")), "cannot be reached")
            is_unavailable(await refusal(core.generate(question("a"))), "cannot be reached")
            assert (await core.generate(question())).choices[0].text
            await restart_model(core)
            assert target.told == []
            gate.open()
            await create(core, "b")
            await core.generate(question("a"))
            assert await count(core, "a") == 2
            (told,) = await asyncio.to_thread(target.wait, 1)
            assert told.json["event"] == "model.started"
