"""Clients that only take: slow, silent, greedy, or very many. The listener answers the others."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse
from websockets.asyncio.client import connect

from sterna_rest.app import FacadeOptions, create_app
from sterna_server import ports
from sterna_server.connections import ConnectionRules
from sterna_server.rest_listener import RestListener
from tests.support.scripted_core import scripted_core
from tests.support.scripted_facade import QUESTION, STREAMED, forever

PATIENCE = 1.0
MOST = 20
# Long enough for a busy machine; no test takes it as a measure.
AT_MOST = 60.0


@dataclass
class Stand:
    """A listener with little patience, and what became of a route that sends without end."""

    listener: RestListener
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def port(self) -> int:
        return int(self.listener.address.rpartition(":")[2])

    async def open(self, text: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text.encode())
        return reader, writer

    async def is_well(self) -> bool:
        async with httpx.AsyncClient(base_url=self.listener.url, timeout=AT_MOST) as client:
            return (await client.get("/health")).status_code == 200


@asynccontextmanager
async def stand(**options: int | float) -> AsyncIterator[Stand]:
    async with scripted_core(forever) as core:
        app = create_app(
            FacadeOptions(core_address=core.address, body_idle_seconds=PATIENCE, **options)  # type: ignore[arg-type]
        )
        port = ports.listen("127.0.0.1", 0, flag="--port")
        # Little is on the way when a client stops reading, whatever the system would send ahead.
        port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        found = Stand(
            RestListener(
                app,
                port,
                linger=0.1,
                rules=ConnectionRules(MOST, PATIENCE),
            )
        )
        add_routes(app, found)
        await found.listener.start()
        try:
            yield found
        finally:
            await found.listener.stop()


def add_routes(app: FastAPI, stand: Stand) -> None:
    @app.get("/large")
    async def large() -> StreamingResponse:
        async def parts() -> AsyncGenerator[bytes]:
            try:
                while True:
                    yield bytes(256 * 1024)
                    # As any work would, so that others have their turn.
                    await asyncio.sleep(0)
            finally:
                stand.ended.set()

        return StreamingResponse(parts())

    @app.get("/whole")
    async def whole(size: int) -> Response:
        return Response(bytes(size))

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())


async def small_window(stand: Stand) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that takes little at a time, whatever the system would take for it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", stand.port))
    return await asyncio.open_connection(sock=client, limit=4096)


def request_for(path: str, size: int, connection: str) -> bytes:
    return (
        f"GET {path}?size={size} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n".encode()
    )


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes the connection."""
    with suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), AT_MOST)
    return b""


async def trickle(writer: asyncio.StreamWriter, text: str) -> None:
    """One byte after the other, never silent for long."""
    with suppress(ConnectionError):
        while True:
            for byte in text.encode():
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(PATIENCE / 10)


async def test_headers_that_never_end() -> None:
    async with stand() as server:
        reader, writer = await server.open("GET /health HTTP/1.1\r\nHost: x\r\n")
        slow = asyncio.create_task(trickle(writer, "X-A: b\r\n"))
        assert await rest_of(reader) == b""
        slow.cancel()
        assert await server.is_well()


async def test_a_connection_that_says_nothing() -> None:
    async with stand() as server:
        reader, _ = await server.open()
        assert await rest_of(reader) == b""


async def test_headers_that_are_too_large() -> None:
    headers = "".join(f"X-{number}: {'y' * 1000}\r\n" for number in range(70)).encode()
    async with stand() as server:
        reader, writer = await server.open("GET /health HTTP/1.1\r\n")
        writer.write(headers + b"\r\n")
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 431 ")
        assert await server.is_well()


async def test_headers_that_are_too_large_and_never_end() -> None:
    async with stand() as server:
        reader, writer = await server.open("GET /health HTTP/1.1\r\n")
        for _ in range(70):
            writer.write(b"X: " + b"y" * 1000)
            await writer.drain()
            await asyncio.sleep(0.001)
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 431 ")
        assert await server.is_well()


async def test_an_address_that_is_too_large() -> None:
    async with stand() as server:
        reader, _ = await server.open(f"GET /{'y' * 70_000} HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 431 ")
        assert await server.is_well()


async def test_a_body_that_trickles() -> None:
    async with stand() as server:
        reader, writer = await server.open(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 100000\r\n\r\n"
        )
        slow = asyncio.create_task(trickle(writer, "        "))
        status = await asyncio.wait_for(reader.readline(), AT_MOST)
        assert status.split()[1] == b"408"
        # And the rest of the body is not read for ever either.
        await rest_of(reader)
        slow.cancel()
        assert await server.is_well()


async def test_a_body_that_stops() -> None:
    async with stand() as server:
        reader, _ = await server.open(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
        )
        assert (await asyncio.wait_for(reader.readline(), AT_MOST)).split()[1] == b"408"


async def test_a_body_that_is_slow_but_honest() -> None:
    async with stand() as server:
        reader, writer = await server.open(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n"
        )
        for _ in range(10):
            writer.write(bytes(4000))
            await asyncio.sleep(PATIENCE / 5)
        assert (await asyncio.wait_for(reader.readline(), AT_MOST)).split()[1] == b"200"


async def test_a_body_without_end() -> None:
    async with stand(max_body_bytes=100_000) as server:
        reader, writer = await server.open(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        with suppress(ConnectionError):
            for _ in range(50):
                writer.write(b"2710\r\n" + bytes(10_000) + b"\r\n")
                await writer.drain()
        assert (await asyncio.wait_for(reader.readline(), AT_MOST)).split()[1] == b"413"
        assert await server.is_well()


async def test_many_connections_opened_and_left() -> None:
    async with stand() as server, AsyncExitStack() as left:
        for _ in range(5 * MOST):
            _, writer = await server.open()
            left.callback(writer.close)
            assert len(server.listener.connections) <= MOST
        begin = time.monotonic()
        assert await server.is_well()
        # Not because the others had to go anyway.
        assert time.monotonic() - begin < AT_MOST
        assert len(server.listener.connections) <= MOST


async def test_who_is_answered_is_not_closed_for_others() -> None:
    async with (
        stand() as server,
        httpx.AsyncClient(
            base_url=server.listener.url, timeout=AT_MOST, limits=httpx.Limits(max_connections=None)
        ) as client,
        AsyncExitStack() as held,
    ):
        streams = []
        for _ in range(MOST):
            request = client.build_request("POST", "/v1/chat/completions", json=STREAMED)
            answer = await client.send(request, stream=True)
            held.push_async_callback(answer.aclose)
            streams.append(answer)
        refused = await client.get("/health")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "service_unavailable"
        await streams.pop().aclose()
        async with asyncio.timeout(AT_MOST):
            while (await client.get("/health")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert len(server.listener.connections) <= MOST


async def test_a_client_that_does_not_read() -> None:
    async with stand() as server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(server.ended.wait(), AT_MOST)
        assert await server.is_well()


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_a_client_that_reads_slowly_gets_all(connection: str) -> None:
    size = 1024 * 1024
    async with stand() as server:
        reader, writer = await small_window(server)
        writer.write(request_for("/whole", size, connection))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), AT_MOST)
        assert head.startswith(b"HTTP/1.1 200 ")
        got = 0
        while got < size:
            piece = await asyncio.wait_for(reader.read(size // 60), AT_MOST)
            assert piece, f"closed after {got} bytes"
            got += len(piece)
            await asyncio.sleep(PATIENCE / 20)
        writer.close()


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
@pytest.mark.parametrize("size", [60_000, 1024 * 1024])
async def test_a_client_that_does_not_read_the_whole_answer(connection: str, size: int) -> None:
    async with stand() as server:
        _, writer = await small_window(server)
        writer.write(request_for("/whole", size, connection))
        async with asyncio.timeout(AT_MOST):
            while not len(server.listener.connections):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            while len(server.listener.connections):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        writer.close()


async def test_an_honest_client_keeps_its_connection() -> None:
    async with stand() as server, httpx.AsyncClient(base_url=server.listener.url) as client:
        for _ in range(3):
            assert (await client.get("/health")).status_code == 200
            await asyncio.sleep(PATIENCE / 4)
            assert len(server.listener.connections) == 1
        # A stream outlives the patience for headers.
        request = client.build_request("POST", "/v1/chat/completions", json=STREAMED)
        answer = await client.send(request, stream=True)
        lines = answer.aiter_lines()
        assert await anext(lines)
        await asyncio.sleep(2 * PATIENCE)
        assert len(server.listener.connections) == 1
        await answer.aclose()


async def test_sockets_count_until_they_are_closed() -> None:
    async with stand() as server:
        url = server.listener.url.replace("http", "ws", 1) + "/v1/ws"
        async with connect(url) as one, connect(url):
            assert len(server.listener.connections) == 2
            await asyncio.sleep(2 * PATIENCE)
            pong = await one.ping()
            await asyncio.wait_for(pong, AT_MOST)
        async with asyncio.timeout(AT_MOST):
            while len(server.listener.connections):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_nonsense_is_no_request() -> None:
    async with stand() as server:
        reader, _ = await server.open("\x16\x03\x01 hello?\r\n\r\n")
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 400")
        async with httpx.AsyncClient(base_url=server.listener.url) as client:
            answer = await client.post("/v1/chat/completions", json=QUESTION | {"n": 0})
            assert answer.status_code in (400, 422)
