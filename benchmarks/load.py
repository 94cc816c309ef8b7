"""Many clients for a long time: latencies, errors and the server's memory, minute by minute.

    python benchmarks/load.py --clients 200 --minutes 30

Starts a server with the embedded model unless `--url` names one that runs; options that are not
listed here are the server's. Clients ask one question after the other, over REST with and without
streaming and over gRPC, of different lengths; some leave in the middle of an answer. Refusals (429
or 503 with `Retry-After`: the queue is full) are counted and waited out; everything else that is
not an answer is an error. The exit status is 1 when there was one.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from sterna.v1 import chat_pb2, generation_pb2, inference_pb2, inference_pb2_grpc

STERNA = Path(sys.executable).parent / "sterna"
WORDS = ("river", "mountain", "sea", "bird", "winter", "song", "city", "bread", "lamp", "garden")
ANSWERED, REFUSED, LEFT = "answered", "refused", "left"
SHARE_GRPC, SHARE_WHOLE, SHARE_LEAVING = 0.15, 0.2, 0.05
START_SECONDS = 60.0


@dataclass
class Tally:
    """What happened in some stretch of time. Times are seconds."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    tokens: int = 0
    memory: int = 0
    files: int = 0

    def add(self, other: Tally) -> None:
        self.outcomes += other.outcomes
        self.first += other.first
        self.whole += other.whole
        self.tokens += other.tokens

    @property
    def errors(self) -> dict[str, int]:
        """What was neither an answer nor a refusal nor a client's own wish."""
        fine = (ANSWERED, REFUSED, LEFT)
        return {kind: count for kind, count in self.outcomes.items() if kind not in fine}


@dataclass(frozen=True)
class Question:
    """What one request asks for."""

    text: str
    tokens: int
    leaves: bool

    @classmethod
    def any(cls, dice: random.Random) -> Question:
        words = " ".join(dice.choices(WORDS, k=dice.choice((3, 10, 40, 120))))
        return cls(
            f"Tell me about this: {words}.",
            dice.choice((8, 32, 96)),
            dice.random() < SHARE_LEAVING,
        )


class Client:
    """Asks until it is cancelled, and notes what came."""

    def __init__(self, url: str, stub: inference_pb2_grpc.InferenceServiceAsyncStub, seed: int):
        self._address = urlsplit(url)
        self._stub = stub
        self._dice = random.Random(seed)
        self.tally = Tally()

    async def run(self) -> None:
        while True:
            question = Question.any(self._dice)
            way = self._dice.random()
            try:
                if way < SHARE_GRPC:
                    wait = await self._over_grpc(question)
                else:
                    wait = await self._over_rest(question, stream=way >= SHARE_GRPC + SHARE_WHOLE)
            except (OSError, EOFError, ValueError) as error:
                self.tally.outcomes[type(error).__name__] += 1
                wait = 0.2
            await asyncio.sleep(wait)

    async def _over_rest(self, question: Question, *, stream: bool) -> float:
        """Returns how many seconds to wait before the next request."""
        body = {
            "messages": [{"role": "user", "content": question.text}],
            "max_tokens": question.tokens,
            "temperature": 0.8,
            "stream": stream,
        }
        data = json.dumps(body).encode()
        begin = time.perf_counter()
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        try:
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data
            )
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(None, 2)[1])
            after = re.search(rb"(?i)\r\nretry-after: *(\d+)", head)
            if status in (429, 503) and after:
                self.tally.outcomes[REFUSED] += 1
                return float(after[1])
            if status != 200:
                self.tally.outcomes[f"HTTP {status}"] += 1
                return 0.2
            return await self._read(reader, question, begin, stream=stream)
        finally:
            writer.close()

    async def _read(
        self, reader: asyncio.StreamReader, question: Question, begin: float, *, stream: bool
    ) -> float:
        if not stream:
            rest = await reader.read()
            if b'"finish_reason"' not in rest:
                raise ValueError("half an answer")
            self._answered(begin, None)
            return 0.0
        first, last = None, b""
        async for line in reader:
            if line.startswith(b"data: {"):
                if first is None:
                    first = time.perf_counter() - begin
                self.tally.tokens += 1
                if question.leaves:
                    self.tally.outcomes[LEFT] += 1
                    return 0.0
            if line.startswith(b"data:"):
                last = line
        if last.strip() != b"data: [DONE]":
            raise ValueError("half a stream")
        self._answered(begin, first)
        return 0.0

    async def _over_grpc(self, question: Question) -> float:
        content = [chat_pb2.ContentPart(text=question.text)]
        message = chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, content=content)
        spec = generation_pb2.GenerationSpec(
            chat=chat_pb2.ChatPrompt(messages=[message]),
            stop=generation_pb2.StopCriteria(max_tokens=question.tokens),
        )
        begin, first = time.perf_counter(), None
        call = self._stub.StreamGenerate(inference_pb2.StreamGenerateRequest(spec=spec))
        try:
            async for event in call:
                if event.WhichOneof("event") == "delta":
                    if first is None:
                        first = time.perf_counter() - begin
                    self.tally.tokens += len(event.delta.token_ids)
                    if question.leaves:
                        call.cancel()
                        self.tally.outcomes[LEFT] += 1
                        return 0.0
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                self.tally.outcomes[REFUSED] += 1
                return 1.0
            self.tally.outcomes[f"gRPC {error.code().name}"] += 1
            return 0.2
        self._answered(begin, first)
        return 0.0

    def _answered(self, begin: float, first: float | None) -> None:
        self.tally.outcomes[ANSWERED] += 1
        self.tally.whole.append(time.perf_counter() - begin)
        if first is not None:
            self.tally.first.append(first)


@contextmanager
def server(flags: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """A server of our own: its URL, its gRPC address, its process id."""
    home = tempfile.mkdtemp(prefix="sterna-load-")
    command = [str(STERNA), "serve", "--port", "0", "--grpc-port", "0", "--home", home]
    log = Path(home) / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen([*command, *flags], stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Ctrl-C stops the server" not in (said := log.read_text()):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the server did not start:\n{said}")
            time.sleep(0.1)
        rest = re.search(r"REST\s+(http://\S+)/v1", said)
        core = re.search(r"gRPC\s+(\S+)", said)
        assert rest is not None
        assert core is not None
        yield rest[1], core[1], process.pid
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def process_facts(pid: int) -> tuple[int, int]:
    """Resident bytes and open files of a process; 0 when it is not of this machine."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * 4096, len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0, 0


async def load(
    url: str, core: str, pid: int, clients: int, seconds: float, interval: float
) -> list[Tally]:
    """A tally for each interval."""
    tallies: list[Tally] = []
    channel = grpc.aio.insecure_channel(core)
    stub = inference_pb2_grpc.InferenceServiceStub(channel)
    crowd = [Client(url, stub, seed) for seed in range(clients)]
    tasks = [asyncio.create_task(client.run()) for client in crowd]
    print(HEADER, flush=True)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0.5:
        await asyncio.sleep(min(interval, left))
        for task in tasks:
            if task.done():
                task.result()
        tally = Tally()
        for client in crowd:
            tally.add(client.tally)
            client.tally = Tally()
        tally.memory, tally.files = process_facts(pid)
        tallies.append(tally)
        print(
            row(f"{seconds - max(0.0, end - time.monotonic()):.0f} s", tally, interval), flush=True
        )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await channel.close()
    return tallies


HEADER = (
    f"{'until':>8} {'answers':>8} {'refused':>8} {'left':>5} {'errors':>6} {'tokens/s':>9} "
    f"{'first p50':>10} {'p95':>8} {'p99':>8} {'whole p50':>10} {'p95':>8} {'p99':>8} "
    f"{'memory':>10} {'files':>6}"
)


def row(label: str, tally: Tally, seconds: float) -> str:
    """One line of the table; times are milliseconds."""
    outcomes = tally.outcomes
    first, whole = (percentiles(times) for times in (tally.first, tally.whole))
    return (
        f"{label:>8} {outcomes[ANSWERED]:>8} {outcomes[REFUSED]:>8} {outcomes[LEFT]:>5} "
        f"{sum(tally.errors.values()):>6} {tally.tokens / seconds:>9.0f} "
        f"{first[0]:>10.0f} {first[1]:>8.0f} {first[2]:>8.0f} "
        f"{whole[0]:>10.0f} {whole[1]:>8.0f} {whole[2]:>8.0f} "
        f"{tally.memory / 2**20:>6.1f} MiB {tally.files:>6}"
    )


def percentiles(seconds: list[float]) -> tuple[float, float, float]:
    """Median, 95th and 99th percentile in milliseconds; 0 without values."""
    if len(seconds) < 2:
        return (0.0, 0.0, 0.0)
    cuts = statistics.quantiles(seconds, n=100)
    return (1000 * cuts[49], 1000 * cuts[94], 1000 * cuts[98])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--interval", type=float, default=60.0, help="seconds of one line")
    parser.add_argument("--url", help="a server that runs, such as http://127.0.0.1:8000")
    parser.add_argument("--core", help="its gRPC address", default="127.0.0.1:50051")
    parser.add_argument("--pid", type=int, default=0, help="its process, for its memory")
    options, flags = parser.parse_known_args()
    arguments = (options.clients, 60 * options.minutes, options.interval)
    if options.url:
        tallies = asyncio.run(load(options.url, options.core, options.pid, *arguments))
    else:
        with server(flags) as (url, core, pid):
            tallies = asyncio.run(load(url, core, pid, *arguments))
    total = Tally()
    for tally in tallies:
        total.add(tally)
    total.memory, total.files = tallies[-1].memory, tallies[-1].files
    print(row("all", total, 60 * options.minutes))
    if total.errors:
        sys.exit(f"errors: {total.errors}")


if __name__ == "__main__":
    main()
