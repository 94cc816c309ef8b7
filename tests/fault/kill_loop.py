"""Kills a real server with SIGKILL at random points while clients write, and compares afterwards.

    python -m tests.fault.kill_loop --rounds 200

Each round starts the server on the same home, asks it for everything that was ever acknowledged,
lets clients write conversations, turns, answers, webhooks and events until it is killed, and begins
anew. At the end it waits until every webhook was told what it is owed. Exit status 1 when anything
is missing, halved or invented. With `--database-url` the state lies in PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf import duration_pb2

from sterna.v1 import (
    chat_pb2,
    event_pb2,
    generation_pb2,
    inference_pb2,
    inference_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
    stored_answer_pb2,
)
from tests.fault.ledger import Ledger
from tests.support.core import PATIENCE, chat
from tests.support.hook_server import HookServer, hook_server
from tests.support.server_process import STERNA, clean_environment

MODEL = "sterna/tern-nano"
# So many conversations are kept at most, so that comparing stays quick.
_MOST_SESSIONS = 40
_MOST_WEBHOOKS = 15
# Long enough for a machine that does much else.
_START_SECONDS = 600.0


@dataclass
class Loop:
    """One run of the loop."""

    home: Path
    target: HookServer
    database_url: str = ""
    seed: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    kills: int = 0
    kills_while_starting: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    async def run(self, rounds: int, report: Callable[[str], None]) -> list[str]:
        """Kills the server so many times; returns what went wrong."""
        async with self._server() as server:
            await self._register(server)
            await server.stop()
        for number in range(rounds):
            if self.random.random() < 0.2:
                await self._kill_while_starting()
            else:
                await self._round()
            if (number + 1) % 10 == 0 or number + 1 == rounds:
                report(
                    f"{self.kills} kills ({self.kills_while_starting} while it started), "
                    f"{self.ledger.acknowledged} calls acknowledged, "
                    f"{sum(self.ledger.events.values())} events, "
                    f"{len(self.ledger.problems)} problems"
                )
        async with self._server() as server:
            await self.ledger.compare(server.inference, server.admin)
            await self._settle()
            await server.stop()
        return self.ledger.problems

    async def _round(self) -> None:
        async with self._server() as server:
            await self.ledger.compare(server.inference, server.admin)
            writers = [
                asyncio.create_task(self._repeat(server, work))
                for work in (
                    self._converse,
                    self._converse,
                    self._store,
                    self._hook,
                    self._restart_model,
                )
            ]
            await asyncio.sleep(self.random.uniform(0.0, 1.5))
            server.kill()
            self.kills += 1
            await asyncio.gather(*writers)

    async def _kill_while_starting(self) -> None:
        process = self._start()
        await asyncio.sleep(self.random.uniform(0.0, 3.0))
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        self.kills += 1
        self.kills_while_starting += 1

    async def _repeat(self, server: Server, work: Callable[[Server], Awaitable[None]]) -> None:
        """Goes on until the server is killed."""
        while True:
            try:
                await work(server)
                self.ledger.acknowledged += 1
            except grpc.aio.AioRpcError as error:
                if server.killed:
                    return
                busy = (grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE)
                lost_model = error.code() is grpc.StatusCode.FAILED_PRECONDITION
                if error.code() not in busy and not lost_model:
                    self.ledger.blame(f"{work.__name__}: {error.code()}: {error.details()}")
                    return
                # Two of the writers were after the same thing.
                await asyncio.sleep(0.01)

    async def _converse(self, server: Server) -> None:
        """Makes a conversation, goes on with one, or deletes one."""
        ledger, choice = self.ledger, self.random.random()
        idle = [name for name in ledger.sessions if name not in ledger.maybe_longer]
        if len(idle) > _MOST_SESSIONS or (idle and choice < 0.1):
            name = self.random.choice(idle)
            ledger.maybe_deleted.add(name)
            ledger.maybe_longer[name] = []
            request = inference_pb2.DeleteSessionRequest(session_id=name)
            await server.inference.DeleteSession(request, timeout=PATIENCE)
            del ledger.sessions[name], ledger.maybe_longer[name]
            ledger.maybe_deleted.discard(name)
        elif not idle or choice < 0.7:
            name = uuid.uuid4().hex
            texts = [f"message {number} of {name}" for number in range(self.random.randint(1, 5))]
            ledger.maybe_sessions[name] = texts
            request_ = inference_pb2.CreateSessionRequest(
                session_id=name,
                messages=[
                    chat_pb2.ChatMessage(
                        role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text=text)]
                    )
                    for text in texts
                ],
            )
            await server.inference.CreateSession(request_, timeout=PATIENCE)
            ledger.sessions[name] = ledger.maybe_sessions.pop(name)
        else:
            await self._answer(server, self.random.choice(idle))

    async def _answer(self, server: Server, name: str) -> None:
        ledger = self.ledger
        question = f"Question {uuid.uuid4().hex}?"
        ledger.maybe_longer[name] = [question]
        spec = chat(question, session_id=name, stop=generation_pb2.StopCriteria(max_tokens=4))
        request = inference_pb2.GenerateRequest(spec=spec)
        try:
            answer = await server.inference.Generate(request, timeout=PATIENCE)
        except grpc.aio.AioRpcError:
            if not server.killed:
                # It was refused: nothing is stored.
                del ledger.maybe_longer[name]
            raise
        ledger.sessions[name] = [*ledger.sessions[name], question, answer.choices[0].text]
        del ledger.maybe_longer[name]

    async def _store(self, server: Server) -> None:
        """Has an answer stored, which follows another one or none."""
        await asyncio.sleep(self.random.uniform(0, 0.1))
        known = list(self.ledger.answers)
        storage = stored_answer_pb2.AnswerStorage(
            store=True,
            previous_response_id=self.random.choice(known)
            if known and self.random.random() < 0.3
            else "",
        )
        spec = chat(
            "What is the capital of France?",
            storage=storage,
            stop=generation_pb2.StopCriteria(max_tokens=3),
        )
        request = inference_pb2.GenerateRequest(spec=spec)
        answer = await server.inference.Generate(request, timeout=PATIENCE)
        self.ledger.answers[answer.response_id] = answer.choices[0].text

    async def _hook(self, server: Server) -> None:
        """Registers a webhook or removes one."""
        ledger = self.ledger
        await asyncio.sleep(self.random.uniform(0, 0.05))
        spare = [each for each, url in ledger.webhooks.items() if not url.endswith("/main")]
        if len(spare) > _MOST_WEBHOOKS or (spare and self.random.random() < 0.3):
            name = self.random.choice(spare)
            ledger.maybe_gone_webhooks.add(name)
            request = model_admin_pb2.DeleteWebhookRequest(webhook_id=name)
            await server.admin.DeleteWebhook(request, timeout=PATIENCE)
            del ledger.webhooks[name]
            ledger.maybe_gone_webhooks.discard(name)
        else:
            url = f"{self.target.url}/{uuid.uuid4().hex}"
            ledger.maybe_webhooks.add(url)
            made = await server.admin.CreateWebhook(
                model_admin_pb2.CreateWebhookRequest(
                    url=url, event_types=[event_pb2.EVENT_TYPE_MODEL_DELETED]
                ),
                timeout=PATIENCE,
            )
            ledger.webhooks[made.webhook.webhook_id] = url
            ledger.maybe_webhooks.discard(url)

    async def _restart_model(self, server: Server) -> None:
        """Makes events: a model is loaded and unloaded."""
        events = self.ledger.events
        load = model_admin_pb2.LoadModelRequest(model_id=MODEL)
        loaded = await server.admin.LoadModel(load, timeout=PATIENCE)
        if not loaded.already_loaded:
            events["model.started"] += 1
        unload = model_admin_pb2.UnloadModelRequest(
            model_id=MODEL, drain_timeout=duration_pb2.Duration(seconds=30)
        )
        await server.admin.UnloadModel(unload, timeout=PATIENCE)
        events["model.stopped"] += 1

    async def _register(self, server: Server) -> None:
        """The webhook that is told everything."""
        made = await server.admin.CreateWebhook(
            model_admin_pb2.CreateWebhookRequest(
                url=f"{self.target.url}/main",
                event_types=[
                    event_pb2.EVENT_TYPE_MODEL_STARTED,
                    event_pb2.EVENT_TYPE_MODEL_STOPPED,
                ],
            ),
            timeout=PATIENCE,
        )
        self.ledger.webhooks[made.webhook.webhook_id] = made.webhook.url

    async def _settle(self) -> None:
        """Waits until nothing more arrives that is owed, and compares with what happened."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            arrived = self._arrived()
            if all(arrived[name] >= count for name, count in self.ledger.events.items()):
                break
            await asyncio.sleep(0.1)
        arrived = self._arrived()
        for name, count in self.ledger.events.items():
            if arrived[name] < count:
                self.ledger.blame(f"{count} times {name} happened, {arrived[name]} arrived")

    def _arrived(self) -> Counter[str]:
        """Different deliveries that were accepted, by event."""
        with self.target.changed:
            told = {
                each.delivery_id: each.json["event"]
                for each in self.target.told
                if each.path == "/main" and each.status == 200
            }
        return Counter(told.values())

    def _start(self) -> subprocess.Popen[bytes]:
        environment = clean_environment(
            self.home,
            STERNA_PRELOAD="false",
            STERNA_THREADS="1",
            STERNA_WEBHOOK_PRIVATE_TARGETS="true",
            STERNA_WEBHOOK_TIMEOUT="1",
            STERNA_WEBHOOK_RETRY_DELAYS=str([0.05] * 20),
            **({"STERNA_DATABASE_URL": self.database_url} if self.database_url else {}),
        )
        socket = self.home / "core.sock"
        arguments = ["core", "--grpc-port", "0", "--unix-path", str(socket)]
        with (self.home / "server.log").open("ab") as log:
            return subprocess.Popen(
                [str(STERNA), *arguments], stdout=log, stderr=log, env=environment
            )

    @contextlib.asynccontextmanager
    async def _server(self) -> AsyncIterator[Server]:
        process = self._start()
        # Of its own: another channel to this path may still wait before it tries again.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 100)]
        target = f"unix:{self.home / 'core.sock'}"
        try:
            async with grpc.aio.insecure_channel(target, options=options) as channel:
                await self._ready(process, channel)
                yield Server(process, channel)
        finally:
            if process.poll() is None:
                process.kill()
            await asyncio.to_thread(process.wait)

    async def _ready(self, process: subprocess.Popen[bytes], channel: grpc.aio.Channel) -> None:
        admin = model_admin_pb2_grpc.ModelAdminServiceStub(channel)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (self.home / "server.log").read_text(errors="replace")[-2000:]
                raise AssertionError(f"the server did not start (exit {process.poll()}):\n{log}")
            try:
                await admin.GetServerInfo(model_admin_pb2.GetServerInfoRequest(), timeout=5)
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)


class Server:
    """One life of the server."""

    def __init__(self, process: subprocess.Popen[bytes], channel: grpc.aio.Channel) -> None:
        self.inference = inference_pb2_grpc.InferenceServiceStub(channel)
        self.admin = model_admin_pb2_grpc.ModelAdminServiceStub(channel)
        self.killed = False
        self._process = process

    def kill(self) -> None:
        self.killed = True
        self._process.send_signal(signal.SIGKILL)

    async def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._process.wait)


async def kill_loop(
    rounds: int, home: Path, *, database_url: str = "", seed: int = 0, report: Callable[[str], None]
) -> Ledger:
    """Runs the loop against a target that refuses one delivery in four."""
    with hook_server() as target:
        refuse = random.Random(seed)
        target.answer = lambda: 503 if refuse.random() < 0.25 else 200
        loop = Loop(home, target, database_url, seed)
        await loop.run(rounds, report)
        return loop.ledger


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database-url", default=os.environ.get("STERNA_TEST_DATABASE", ""))
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        ledger = asyncio.run(
            kill_loop(
                options.rounds,
                Path(home),
                database_url=options.database_url,
                seed=options.seed,
                report=lambda line: print(line, flush=True),
            )
        )
    print(f"{options.rounds} rounds in {time.monotonic() - began:.0f} s")
    for problem in ledger.problems:
        print(f"LOST: {problem}")
    return 1 if ledger.problems else 0


if __name__ == "__main__":
    sys.exit(main())
