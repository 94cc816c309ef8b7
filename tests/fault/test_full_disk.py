"""Real disks that are full, and then are not: of the database, and of models."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import sterna_service.models
from sterna.v1 import (
    inference_pb2,
    inference_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
)
from sterna_service.app import CoreOptions
from tests.support.core import (
    PATIENCE,
    CoreClient,
    Refusal,
    chat,
    eventually,
    refusal,
    running_core,
)
from tests.support.hub_server import HubServer, hub_server
from tests.support.server_process import STERNA, clean_environment
from tests.support.small_disk import fill, need_mounts, on_small_disk, seen_by, small_disk


@pytest.mark.e2e
async def test_a_disk_that_is_full(tmp_path: Path) -> None:
    need_mounts()
    disk = tmp_path / "disk"
    disk.mkdir()
    socket = tmp_path / "core.sock"
    process = start(disk, socket)
    try:
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            inference = inference_pb2_grpc.InferenceServiceStub(channel)
            await ready(channel, process)
            # The disk as the server sees it.
            filler = seen_by(process.pid, disk / "filler")
            kept = await fill_until_refused(inference, filler)
            answer = await inference.Generate(
                inference_pb2.GenerateRequest(spec=chat("What is the capital of France?")),
                timeout=PATIENCE,
            )
            assert answer.choices[0].text
            assert await sessions(inference) == kept
            filler.unlink()
            kept.add(await create(inference, "after"))
            assert await sessions(inference) == kept
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 60)
        finally:
            process.kill()
    assert process.returncode == 0


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub with a copy of the embedded model."""
    embedded = Path(sterna_service.models.__file__).parent / "embedded"
    shutil.copytree(embedded, tmp_path / "repository")
    with hub_server() as server:
        server.repositories["org/model"] = tmp_path / "repository"
        yield server


async def test_no_room_for_models(tmp_path: Path, hub: HubServer) -> None:
    """Pulling one refuses at once, or in the middle; loading one says the same."""
    with small_disk("90m", tmp_path / "disk") as home:
        options = CoreOptions(home=home, port=0, hub_endpoint=hub.url, preload=False)
        async with running_core(options) as core:
            fill(home / "filler")
            assert (await refusal(pull(core))).reason == "DISK_FULL"
            load = model_admin_pb2.LoadModelRequest(model_id="sterna/tern-nano")
            refused = await refusal(core.admin.LoadModel(load, timeout=PATIENCE))
            assert (refused.code, refused.reason) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "DISK_FULL",
            )
            (home / "filler").unlink()
            hub.hold = threading.Event()
            pulling = asyncio.create_task(pull(core))

            async def is_half_done() -> bool:
                return hub.waiting

            await eventually(is_half_done)
            fill(home / "filler")
            hub.hold.set()
            assert (await refusal(pulling)).reason == "DISK_FULL"
            (home / "filler").unlink()
            await pull(core)
            # It went on where it stood.
            assert hub.ranges
            assert (await core.generate(chat("Hello?", model_id="org/model"))).choices[0].text


async def pull(core: CoreClient) -> None:
    request = model_admin_pb2.PullModelRequest(source="org/model")
    async for _ in core.admin.PullModel(request, timeout=PATIENCE):
        pass


def start(disk: Path, socket: Path) -> subprocess.Popen[bytes]:
    """A core that sees a small disk at `disk`, with its database on it."""
    environment = clean_environment(
        disk.parent, STERNA_DATABASE_URL=f"sqlite:///{disk}/state.db", STERNA_PRELOAD="false"
    )
    server = ["core", "--grpc-port", "0", "--unix-path", str(socket)]
    return subprocess.Popen(
        on_small_disk("2m", disk, str(STERNA), *server),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def ready(channel: grpc.aio.Channel, process: subprocess.Popen[bytes]) -> None:
    admin = model_admin_pb2_grpc.ModelAdminServiceStub(channel)
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, "the server did not start"
        assert time.monotonic() < deadline, "the server did not answer"
        try:
            await admin.GetServerInfo(model_admin_pb2.GetServerInfoRequest(), timeout=5)
            return
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)


async def fill_until_refused(
    inference: inference_pb2_grpc.InferenceServiceAsyncStub, filler: Path
) -> set[str]:
    """Fills the disk, and makes conversations until one is refused; returns the others."""
    kept = {await create(inference, "before")}
    fill(filler)
    for number in range(1000):
        try:
            kept.add(await create(inference, f"s{number}"))
        except grpc.aio.AioRpcError as error:
            refused = Refusal.of(error)
            assert (refused.code, refused.reason) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "DISK_FULL",
            )
            return kept
    raise AssertionError("the disk was never full")


async def create(inference: inference_pb2_grpc.InferenceServiceAsyncStub, name: str) -> str:
    messages = chat("x" * 10_000).chat.messages
    request = inference_pb2.CreateSessionRequest(session_id=name, messages=messages)
    answer = await inference.CreateSession(request, timeout=PATIENCE)
    return answer.session.session_id


async def sessions(inference: inference_pb2_grpc.InferenceServiceAsyncStub) -> set[str]:
    request = inference_pb2.ListSessionsRequest(page_size=1000)
    answer = await inference.ListSessions(request, timeout=PATIENCE)
    return {each.session_id for each in answer.sessions}
