"""Kills a real server with SIGKILL at random points while clients write, and compares afterwards.

    python -m tests.fault.kill_loop --rounds 200

Each round starts the server on the same home, asks it for everything that was ever acknowledged,
lets clients write conversations, turns, answers, webhooks, events, pulled models, API keys and
voices until it is killed, and begins anew. At the end it waits until every webhook was told what it
is owed, calls with every key, and speaks with a voice. Exit status 1 when anything is missing,
halved or invented. With `--database-url` the state lies in PostgreSQL. Voices need the extra
`voice`: run it with `build/voice-venv/bin/python` (`scripts/voice_venv.sh` makes it).
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
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import sterna_service.models
from sterna.v1 import event_pb2, model_admin_pb2, speech_pb2
from tests.fault.clients import ORGANISATION, Clients, Server, make_repositories
from tests.fault.keys import Keys
from tests.fault.ledger import Ledger
from tests.fault.shelf import Shelf, model_flaw, voice_flaw
from tests.support.core import PATIENCE
from tests.support.hook_server import HookServer, hook_server
from tests.support.hub_server import HubServer, hub_server
from tests.support.keys import bearer
from tests.support.server_process import STERNA, clean_environment
from tests.support.speech import missing_packages, speech_home

EMBEDDED = Path(sterna_service.models.__file__).parent / "embedded"
# Long enough for a machine that does much else.
_START_SECONDS = 600.0
# A server that is ready is killed after at most so many calls and seconds.
_MOST_CALLS = 60
_MOST_SECONDS = 3.0
# Of all rounds: those that end while the server starts, and those that change a key.
_WHILE_STARTING, _WITH_KEYS = 0.2, 0.15
VOICE_SHARE = 0.06
"""Of those rounds in which clients write: those that make voices, which are slow to begin."""


@dataclass
class Loop:
    """One run of the loop."""

    home: Path
    target: HookServer
    hub: HubServer
    database_url: str = ""
    seed: int = 0
    voice_share: float = 0.0
    ledger: Ledger = field(default_factory=Ledger)
    kills: int = 0
    kills_while_starting: int = 0
    start_seconds: float = 0.0
    """How long the last start took."""

    def __post_init__(self) -> None:
        # What the rounds are, one seed decides; what happens in them, time does, too.
        self.plan = random.Random(self.seed)
        self.random = random.Random(self.plan.random())
        self.models = Shelf("model", self.home / "models" / ORGANISATION, model_flaw)
        self.voices = Shelf("voice", self.home / "voices", voice_flaw)
        self.clients = Clients(
            self.ledger, self.target.url, self.hub, self.models, self.voices, self.random
        )
        place = self.database_url or self.home / "state.db"
        self.keys = Keys(place, self._environment(), self.random)

    async def run(self, rounds: int, report: Callable[[str], None]) -> list[str]:
        """Kills the server so many times; returns what went wrong."""
        async with self._server() as server:
            await self._register(server)
        told = 0
        for number in range(rounds):
            shares = (_WHILE_STARTING, _WITH_KEYS, self.voice_share)
            starting, keys, voices = (self.plan.random() < share for share in shares)
            if starting:
                await self._kill_while_starting()
            else:
                await self._round(keys=keys, voices=voices)
            if (number + 1) % 10 == 0 or number + 1 == rounds:
                report(self._summary())
            for problem in self.ledger.problems[told:]:
                report(f"after round {number + 1}: {problem}")
            told = len(self.ledger.problems)
        async with self._server() as server:
            await self._compare(server)
            await self._settle()
            await self._speak(server)
        await self._call_with_keys()
        return self.ledger.problems

    def _summary(self) -> str:
        return (
            f"{self.kills} kills ({self.kills_while_starting} while it started), "
            f"{self.ledger.acknowledged} calls acknowledged, "
            f"{sum(self.ledger.events.values())} events, "
            f"{self.models.acknowledged} models, {self.voices.acknowledged} voices, "
            f"{len(self.keys.good) + len(self.keys.revoked)} keys, "
            f"{len(self.ledger.problems)} problems"
        )

    async def _round(self, *, keys: bool, voices: bool) -> None:
        clients = self.clients
        work = [
            clients.converse,
            clients.converse,
            clients.store,
            clients.hook,
            clients.restart_model,
            clients.pull,
        ]
        # It takes as long as a server to start, and so writes about when that is ready.
        changing = asyncio.create_task(self.keys.change()) if keys else None
        async with self._server(STERNA_VOICE_PRELOAD=str(voices)) as server:
            await self._compare(server)
            if voices:
                # The workers start slowly; the others begin when they have.
                await clients.clone(server)
                work.append(clients.clone)
            writers = [asyncio.create_task(clients.repeat(server, each)) for each in work]
            await self._some_calls()
            server.kill()
            self.kills += 1
            await asyncio.gather(*writers)
        if changing is not None:
            if self.random.random() < 0.5:
                self.keys.interrupt()
            await changing

    async def _some_calls(self) -> None:
        """Returns after some calls, so that a slow machine is killed in the midst of work, too."""
        goal = self.ledger.acknowledged + self.random.randint(0, _MOST_CALLS)
        deadline = time.monotonic() + _MOST_SECONDS
        while True:
            if self.ledger.acknowledged >= goal or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(self.random.uniform(0.0, 0.1))

    async def _kill_while_starting(self) -> None:
        process = self._start()
        await asyncio.sleep(self.random.uniform(0.0, 1.2 * self.start_seconds))
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        self.kills += 1
        self.kills_while_starting += 1

    async def _compare(self, server: Server) -> None:
        await self.ledger.compare(server.inference, server.admin)
        request = model_admin_pb2.ListModelsRequest(page_size=1000)
        listed = (await server.admin.ListModels(request, timeout=PATIENCE)).models
        mine = {
            each.model_id.removeprefix(f"{ORGANISATION}/"): each.revision
            for each in listed
            if each.owner == ORGANISATION
        }
        problems = self.models.compare(mine)
        if self.voice_share:
            everyone = speech_pb2.ListVoicesRequest()
            voices = (await server.speech.ListVoices(everyone, timeout=PATIENCE)).voices
            made = {each.voice_id: str(each) for each in voices if not each.built_in}
            problems += self.voices.compare(made)
        problems += await self.keys.compare()
        for problem in problems:
            self.ledger.blame(problem)

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

    async def _speak(self, server: Server) -> None:
        """A voice that outlived all lives speaks."""
        for name in sorted(self.voices.kept)[:1]:
            config = speech_pb2.SynthesisConfig(voice_id=name)
            request = speech_pb2.SynthesizeRequest(config=config, text="Hello.")
            try:
                call = server.speech.Synthesize(request, timeout=2 * PATIENCE)
                size = sum([len(part.audio) async for part in call])
            except grpc.aio.AioRpcError as error:
                self.ledger.blame(f"the voice {name} does not speak: {error.details()}")
                return
            if not size:
                self.ledger.blame(f"the voice {name} is silent")

    async def _call_with_keys(self) -> None:
        """A server that asks for keys takes the good ones, and no others."""
        request = model_admin_pb2.GetServerInfoRequest()
        async with self._server(STERNA_AUTH="keys") as server:
            for name, key in [*self.keys.good.items(), *self.keys.revoked.items()]:
                code = grpc.StatusCode.OK
                try:
                    await server.admin.GetServerInfo(
                        request, metadata=bearer(key), timeout=PATIENCE
                    )
                except grpc.aio.AioRpcError as error:
                    code = error.code()
                refused = grpc.StatusCode.UNAUTHENTICATED
                if code is not (refused if name in self.keys.revoked else grpc.StatusCode.OK):
                    self.ledger.blame(f"a call with the key {name} ended with {code.name}")

    def _environment(self, **variables: str) -> dict[str, str]:
        return clean_environment(
            self.home,
            STERNA_PRELOAD="false",
            STERNA_THREADS="1",
            STERNA_WEBHOOK_PRIVATE_TARGETS="true",
            STERNA_WEBHOOK_TIMEOUT="1",
            STERNA_WEBHOOK_RETRY_DELAYS=str([0.05] * 20),
            STERNA_HUB_ENDPOINT=self.hub.url,
            STERNA_VOICE=str(self.voice_share > 0),
            STERNA_WHISPER_MODEL=str(self.home / "speech" / "recognition" / "digits"),
            **({"STERNA_DATABASE_URL": self.database_url} if self.database_url else {}),
            **variables,
        )

    def _start(self, **variables: str) -> subprocess.Popen[bytes]:
        socket = self.home / "core.sock"
        arguments = ["core", "--grpc-port", "0", "--unix-path", str(socket)]
        with (self.home / "server.log").open("ab") as log:
            return subprocess.Popen(
                [str(STERNA), *arguments],
                stdout=log,
                stderr=log,
                env=self._environment(**variables),
            )

    @contextlib.asynccontextmanager
    async def _server(self, **variables: str) -> AsyncIterator[Server]:
        """A life of the server; it ends with SIGTERM unless it was killed."""
        process = self._start(**variables)
        # Of its own: another channel to this path may still wait before it tries again.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 100)]
        target = f"unix:{self.home / 'core.sock'}"
        try:
            async with grpc.aio.insecure_channel(target, options=options) as channel:
                await self._ready(process, channel)
                server = Server(channel, process.kill)
                yield server
                if not server.killed:
                    process.terminate()
                    await asyncio.to_thread(process.wait)
        finally:
            if process.poll() is None:
                process.kill()
            await asyncio.to_thread(process.wait)

    async def _ready(self, process: subprocess.Popen[bytes], channel: grpc.aio.Channel) -> None:
        health = health_pb2_grpc.HealthStub(channel)
        began = time.monotonic()
        deadline = began + _START_SECONDS
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (self.home / "server.log").read_text(errors="replace")[-2000:]
                raise AssertionError(f"the server did not start (exit {process.poll()}):\n{log}")
            try:
                # Of the process, and nobody has to show a key for it.
                await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
                self.start_seconds = time.monotonic() - began
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)


async def kill_loop(
    rounds: int,
    home: Path,
    *,
    database_url: str = "",
    seed: int = 0,
    voice_share: float = 0.0,
    report: Callable[[str], None],
) -> Ledger:
    """Runs the loop against a target that refuses one delivery in four.

    With `voice_share`, so many of the rounds make voices, which needs the extra `voice`.
    """
    with hook_server() as target, hub_server() as hub:
        refuse = random.Random(seed)
        target.answer = lambda: 503 if refuse.random() < 0.25 else 200
        make_repositories(hub, EMBEDDED, home / "hub")
        home = home / "home"
        home.mkdir()
        if voice_share:
            speech_home(home)
        loop = Loop(home, target, hub, database_url, seed, voice_share)
        await loop.run(rounds, report)
        return loop.ledger


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database-url", default=os.environ.get("STERNA_TEST_DATABASE", ""))
    options = parser.parse_args()
    with_voices = not missing_packages()
    if not with_voices:
        print("NOT TESTED: voices, which need the extra voice (build/voice-venv/bin/python)")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        ledger = asyncio.run(
            kill_loop(
                options.rounds,
                Path(home),
                database_url=options.database_url,
                seed=options.seed,
                voice_share=VOICE_SHARE if with_voices else 0.0,
                report=lambda line: print(line, flush=True),
            )
        )
    print(f"{options.rounds} rounds in {time.monotonic() - began:.0f} s")
    for problem in ledger.problems:
        print(f"LOST: {problem}")
    return 1 if ledger.problems else 0


if __name__ == "__main__":
    sys.exit(main())
