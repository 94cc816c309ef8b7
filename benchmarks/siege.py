"""Besieges a running server and says whether others are answered meanwhile.

    sterna serve --port 8000 &
    python -m benchmarks.siege http://127.0.0.1:8000 --grpc 127.0.0.1:50051 --connections 10000

Each part opens connections that only take (silent, slow, unread, or more than are allowed).
Meanwhile somebody asks for `/health` and a short answer every quarter of a second, each time over a
new connection. It prints how many of these were answered, and how long they took, and ends with 1
when one was not. It needs as many open files as connections.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

_CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "temperature": 0}


@dataclass
class Target:
    """The server, and what the besiegers know of it."""

    url: str
    grpc: str
    connections: int
    seconds: float
    headers: dict[str, str]

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80


@dataclass
class Watch:
    """What somebody saw who asked all the time."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def all_answered(self) -> bool:
        """Whether each was answered, be it that there are too many requests."""
        statuses = [name.rpartition(" ")[2] for name in self.outcomes]
        return bool(statuses) and set(statuses) <= {"200", "429"}

    def summary(self) -> str:
        if not self.seconds:
            return f"nothing was answered: {dict(self.outcomes)}"
        return (
            f"{dict(self.outcomes)}, median {statistics.median(self.seconds) * 1000:.0f} ms, "
            f"longest {max(self.seconds) * 1000:.0f} ms"
        )


Siege = Callable[[Target, list[asyncio.StreamWriter]], Awaitable[str]]


async def ask(target: Target, watch: Watch) -> None:
    """Asks until it is cancelled, each time over a new connection."""
    while True:
        for method, path, body in (
            ("GET", "/health", None),
            ("POST", "/v1/chat/completions", _CHAT),
        ):
            begin = time.perf_counter()
            try:
                async with httpx.AsyncClient(base_url=target.url, timeout=20) as client:
                    answer = await client.request(method, path, json=body, headers=target.headers)
                watch.outcomes[f"{path} {answer.status_code}"] += 1
                watch.seconds.append(time.perf_counter() - begin)
            except httpx.HTTPError as error:
                watch.outcomes[f"{path} {type(error).__name__}"] += 1
        await asyncio.sleep(0.25)


async def silent(target: Target, held: list[asyncio.StreamWriter]) -> str:
    """Opens connections and leaves them."""
    return await _hold(target.address, target.connections, b"", held)


async def silent_grpc(target: Target, held: list[asyncio.StreamWriter]) -> str:
    """The same on the gRPC port."""
    host, _, port = target.grpc.rpartition(":")
    return await _hold((host, int(port)), target.connections, b"", held)


async def slow_headers(target: Target, held: list[asyncio.StreamWriter]) -> str:
    """Sends headers a line at a time."""
    text = await _hold(target.address, 500, b"GET /health HTTP/1.1\r\nHost: x\r\n", held)
    cut = await _trickle(held, b"X-A: b\r\n", target.seconds)
    return f"{text}; {cut} closed by the server"


async def slow_bodies(target: Target, held: list[asyncio.StreamWriter]) -> str:
    """Sends bodies a byte at a time."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"".join(f"{name}: {value}\r\n".encode() for name, value in target.headers.items())
    text = await _hold(target.address, 500, head + b"Content-Length: 100000\r\n\r\n", held)
    cut = await _trickle(held, b" ", target.seconds)
    return f"{text}; {cut} closed by the server"


async def unread(target: Target, held: list[asyncio.StreamWriter]) -> str:
    """Asks for a large document again and again, and reads nothing."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    text = await _hold(target.address, 200, request, held)
    for writer in held:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(target.seconds)
    return text


async def flood(target: Target, held: list[asyncio.StreamWriter]) -> str:
    """Sends requests as fast as it can."""
    outcomes: Counter[str] = Counter()
    deadline = time.monotonic() + target.seconds

    async def one(client: httpx.AsyncClient) -> None:
        while time.monotonic() < deadline:
            try:
                answer = await client.post(
                    "/v1/chat/completions", json=_CHAT, headers=target.headers
                )
                outcomes[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                outcomes[type(error).__name__] += 1

    async with httpx.AsyncClient(base_url=target.url, timeout=30) as client:
        await asyncio.gather(*(one(client) for _ in range(50)))
    return f"50 clients: {dict(outcomes)}"


async def _hold(
    address: tuple[str, int], count: int, text: bytes, held: list[asyncio.StreamWriter]
) -> str:
    failed: Counter[str] = Counter()
    begin = time.perf_counter()
    for _ in range(count):
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(*address), 20)
            writer.write(text)
            held.append(writer)
        except (OSError, TimeoutError) as error:
            failed[type(error).__name__] += 1
    seconds = time.perf_counter() - begin
    told = f", {dict(failed)} refused" if failed else ""
    return f"{len(held)} of {count} connections opened in {seconds:.1f} s{told}"


async def _trickle(held: list[asyncio.StreamWriter], text: bytes, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for writer in held:
            if not writer.is_closing():
                writer.write(text)
        await asyncio.sleep(1.0)
    return sum(writer.is_closing() for writer in held)


@contextlib.asynccontextmanager
async def watching(target: Target) -> AsyncIterator[Watch]:
    """Somebody asks while inside."""
    watch = Watch()
    task = asyncio.create_task(ask(target, watch))
    try:
        yield watch
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


PARTS: dict[str, Siege] = {
    "silent": silent,
    "silent-grpc": silent_grpc,
    "slow-headers": slow_headers,
    "slow-bodies": slow_bodies,
    "unread": unread,
    "flood": flood,
}


async def besiege(target: Target, only: list[str]) -> bool:
    """Runs the parts, one after the other; returns whether others were answered all the time."""
    answered = True
    for name in only or PARTS:
        if name == "silent-grpc" and not target.grpc:
            continue
        held: list[asyncio.StreamWriter] = []
        async with watching(target) as watch:
            result = await PARTS[name](target, held)
            # What was opened stays for a while.
            await asyncio.sleep(3.0)
        answered &= watch.all_answered
        print(f"{name}: {result}\n  others: {watch.summary()}", flush=True)
        for writer in held:
            writer.close()
        await asyncio.sleep(1.0)
    return answered


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("url", help="of REST, for example http://127.0.0.1:8000")
    parser.add_argument("--grpc", default="", help="host:port of gRPC")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the slow parts")
    parser.add_argument("--key", default="", help="an API key for those who ask")
    parser.add_argument("--only", action="append", default=[], choices=list(PARTS))
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    headers = {"authorization": f"Bearer {arguments.key}"} if arguments.key else {}
    target = Target(
        arguments.url, arguments.grpc, arguments.connections, arguments.seconds, headers
    )
    return 0 if asyncio.run(besiege(target, arguments.only)) else 1


if __name__ == "__main__":
    sys.exit(main())
