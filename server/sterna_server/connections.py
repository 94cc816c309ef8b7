"""Keeps a REST listener alive among clients that only take: slow, silent, or very many.

uvicorn waits for ever for a request that was begun, and for a client that does not read. Here each
connection has a time for that, and a listener has so many connections. When there are more, the one
that has been silent for longest makes room for the new one, so that whoever opens thousands and
leaves them keeps nobody else outside. A connection whose request is being answered is never closed
for others.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import struct
import termios
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_log = logging.getLogger(__name__)

# Files that a server needs besides its connections.
_OTHER_FILES = 256
_MOST_FILES = 65_536
_FAREWELL_SECONDS = 0.5
# As for bodies: whoever takes an answer more slowly than this does not read it.
_LEAST_BYTES_PER_SECOND = 1000

_INT = struct.Struct("i")

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\n"
    b"connection: close\r\ncontent-length: 26\r\n\r\nThe headers are too large."
)
_BODY = b'{"error":{"message":"The server has no connection left; try again in a moment.",' + (
    b'"type":"service_unavailable","param":null,"code":"service_unavailable"}}'
)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: " + str(len(_BODY)).encode() + b"\r\n\r\n" + _BODY
)


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """What a listener bears."""

    most: int = 4096
    """Connections at the same time."""
    patience: float = 30.0
    """Seconds for a whole request without its body, and how long a client may read next to
    nothing of what waits for it."""
    most_header_bytes: int = 64 * 1024
    """Of a request: its first line and all its headers together."""


class Connections:
    """The connections of one listener."""

    def __init__(self, rules: ConnectionRules) -> None:
        self.rules = rules
        self._all: set[asyncio.BaseProtocol] = set()
        # In the order in which they fell silent.
        self._silent: OrderedDict[asyncio.BaseProtocol, asyncio.Transport] = OrderedDict()
        self._full = False

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, protocol: asyncio.BaseProtocol) -> bool:
        """Counts a connection; false if there is no room, and nobody who could make some."""
        while len(self._all) >= self.rules.most:
            self._tell_full()
            if not self._silent:
                return False
            oldest, transport = self._silent.popitem(last=False)
            self._all.discard(oldest)
            transport.abort()
        self._all.add(protocol)
        return True

    def leave(self, protocol: asyncio.BaseProtocol) -> None:
        """Forgets a connection."""
        self._all.discard(protocol)
        self._silent.pop(protocol, None)
        if self._full and len(self._all) < self.rules.most // 2:
            self._full = False

    def silent(self, protocol: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        """It has no request that is being answered."""
        if protocol in self._all and protocol not in self._silent:
            self._silent[protocol] = transport

    def busy(self, protocol: asyncio.BaseProtocol) -> None:
        """It has one."""
        self._silent.pop(protocol, None)

    def _tell_full(self) -> None:
        if not self._full:
            self._full = True
            _log.warning(
                "the listener has no connection left; silent ones are closed for new ones",
                extra={"max_connections": self.rules.most},
            )


class _Patient:
    """Closes a connection whose client does not read. Stands before a protocol of uvicorn."""

    guard: Connections
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _reading: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]
        if self._reading is None:
            self._watch_reading()

    def resume_writing(self) -> None:
        super().resume_writing()  # type: ignore[misc]
        self._stop_reading()

    def _watch_reading(self) -> None:
        self._reading = self._later(self._watch_reading)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _later(self, again: Callable[[], None]) -> asyncio.TimerHandle:
        """When the time is over: closes the connection, or calls `again` if its client is still
        reading what waits for it."""
        rules = self.guard.rules
        before = _unread(self.transport)

        def judge() -> None:
            left = _unread(self.transport)
            # Nothing was added: the protocol waits with what comes next.
            if left and before - left >= _LEAST_BYTES_PER_SECOND * rules.patience:
                again()
            else:
                self.transport.abort()

        return self.loop.call_later(rules.patience, judge)


def _unread(transport: asyncio.Transport) -> int:
    """Bytes on the way to the client: here, and in the system, which passes on large pieces only
    when it has room for them again."""
    found = transport.get_extra_info("socket")
    try:
        (sending,) = _INT.unpack(fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))
    except (OSError, AttributeError):
        # Closed, or a system that does not say it of sockets.
        sending = 0
    return transport.get_write_buffer_size() + int(sending)


class _Socket(_Patient, WebSocketsSansIOProtocol):
    """A WebSocket; it takes the place of the request that it began as."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.guard.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.leave(self)
        self._stop_reading()
        super().connection_lost(exc)


class _Request(_Patient, HttpToolsProtocol):
    """One connection, and the requests that come over it."""

    _asking: asyncio.TimerHandle | None = None
    _refused = False
    # The parser bounds nothing. This counts what came of headers that have not ended, but for the
    # piece that they began in: the end of another request may stand in it.
    _header_bytes = 0
    _in_headers = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self.guard.enter(self):
            self._refused = True
            transport.write(_FULL)
            transport.close()
            return
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.leave(self)
        self._stop_asking()
        self._stop_reading()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > self.guard.rules.most_header_bytes:
            self._refuse_headers()
        self._look()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_headers = False
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._refused or size > self.guard.rules.most_header_bytes:
            self._refuse_headers()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def _refuse_headers(self) -> None:
        if not self._refused:
            self._refused = True
            self._stop_asking()
            self.transport.write(_TOO_LARGE)
            # Closed while more comes, it would be reset, and the client would not read why.
            self.loop.call_later(_FAREWELL_SECONDS, self.transport.close)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def handle_websocket_upgrade(self) -> None:
        if self._refused:
            return
        self.guard.leave(self)
        self._stop_asking()
        # From here on the transport belongs to the socket.
        self._refused = True
        super().handle_websocket_upgrade()

    def _look(self) -> None:
        """Notes whether a request is being answered; if not, its client has so long to send one."""
        if self._refused:
            return
        cycle = getattr(self, "cycle", None)
        if cycle is not None and not cycle.response_complete:
            self.guard.busy(self)
            self._stop_asking()
            return
        self.guard.silent(self, self.transport)
        if self._asking is None:
            self._wait_for_request()

    def _wait_for_request(self) -> None:
        self._asking = self._later(self._wait_for_request)

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None


def protocols(
    rules: ConnectionRules,
) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol], Connections]:
    """What uvicorn makes of connections and of WebSockets for one listener, and their count."""
    connections = Connections(rules)
    request = type("Request", (_Request,), {"guard": connections})
    socket = type("Socket", (_Socket,), {"guard": connections})
    return request, socket, connections


def raise_file_limit(wanted: int) -> int:
    """Lets this process open `wanted` connections, or as many as it may; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft < min(most, wanted + _OTHER_FILES):
        soft = min(most, wanted + _OTHER_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(16, min(wanted, soft - _OTHER_FILES))
