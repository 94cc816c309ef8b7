"""A real server whose database lies on a disk that is full, and then is not."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from pathlib import Path

import grpc
import pytest

from sterna.v1 import (
    inference_pb2,
    inference_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
)
from tests.support.core import PATIENCE, Refusal, chat
from tests.support.server_process import STERNA, clean_environment
from tests.support.small_disk import fill, need_mounts, on_small_disk, seen_by


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
