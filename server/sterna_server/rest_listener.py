"""The façade's listener: uvicorn on the loop of the caller, without handlers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from sterna_server.connections import ConnectionRules, protocols

# Audio comes in base64 over such sockets.
_MOST_SOCKET_BYTES = 16 * 1024 * 1024


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # One place decides what a signal means, and it is not this one.
        yield


class RestListener:
    """Serves `app` on a bound socket. It answers whether or not the core already does.

    `linger` is how many seconds `stop` waits for answers that are still on their way. With `tls` it
    speaks TLS. Without `lifespan` the application is not told of its start and end.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        linger: float,
        tls: ssl.SSLContext | None = None,
        rules: ConnectionRules | None = None,
        lifespan: bool = True,
    ) -> None:
        self._listener = listener
        self._tls = tls
        request, socket_protocol, self.connections = protocols(rules or ConnectionRules())
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="on" if lifespan else "off",
                server_header=False,
                http=request,
                ws=socket_protocol,
                # A larger message is refused before it is put together.
                ws_max_size=_MOST_SOCKET_BYTES,
                # Whom to believe about clients is the application's business.
                proxy_headers=False,
                ssl_context_factory=None if tls is None else lambda config, default: tls,
                timeout_graceful_shutdown=max(1, round(linger)),
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`host:port`, as it stands in a URL."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def url(self) -> str:
        """`http://host:port`, or `https://host:port`."""
        return f"{'http' if self._tls is None else 'https'}://{self.address}"

    async def start(self) -> None:
        """Returns when connections are accepted."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the REST listener stopped while it was starting")
            await asyncio.sleep(0.005)

    async def wait(self) -> None:
        """Returns when the listener has stopped, however that came about."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Takes no more connections, lets the present answers leave, and closes."""
        self._server.should_exit = True
        await self.wait()


class RestListeners:
    """Several listeners as one; the first is the one that people are told of."""

    def __init__(self, listeners: Sequence[RestListener]) -> None:
        self._listeners = listeners

    @property
    def url(self) -> str:
        """Of the first."""
        return self._listeners[0].url

    @property
    def further(self) -> list[str]:
        """Of the others."""
        return [each.url for each in self._listeners[1:]]

    async def start(self) -> None:
        """Returns when all accept connections; when one cannot, none goes on."""
        try:
            for each in self._listeners:
                await each.start()
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Returns when one of them has stopped."""
        waits = [asyncio.ensure_future(each.wait()) for each in self._listeners]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def stop(self) -> None:
        """As `RestListener.stop`, all at the same time."""
        await asyncio.gather(*(each.stop() for each in self._listeners))
