"""A target of webhooks that answers as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sterna_service.webhooks.options import WebhookOptions

QUICK = WebhookOptions(private_targets=True, timeout_seconds=2.0, retry_delays=(0.05, 0.1, 0.1))
"""Options with which a test is told at once."""


@dataclass(frozen=True)
class Told:
    """A request that arrived. The names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: str
    status: int
    """What was answered."""

    @property
    def delivery_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class HookServer:
    """The target. `statuses` are given one after the other, the last one for good."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [204])
    answer: Callable[[], int] = field(init=False)
    """Chooses the status of the next answer; at first from `statuses`."""
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    """Requests to `/slow` are answered when it is set."""
    garbage: bytes | None = None
    """Written instead of an answer, again and again until the connection is closed."""
    told: list[Told] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.answer = self._next_status

    def _next_status(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def wait(self, count: int, seconds: float = 60.0) -> list[Told]:
        """The requests, once there are so many."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.told) >= count, seconds):
                raise AssertionError(f"{len(self.told)} of {count} deliveries came")
            return list(self.told)


@contextmanager
def hook_server() -> Iterator[HookServer]:
    """Runs a target on a free port of this machine."""
    state = HookServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            data = self.rfile.read(length)
            if len(data) < length:
                return  # who sent it was killed
            body = data.decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            with state.changed:
                status = state.answer()
                state.told.append(Told(self.path, headers, body, status))
                state.changed.notify_all()
            if self.path == "/slow" and state.hold is not None:
                state.hold.wait(60)
            try:
                if state.garbage is not None:
                    while True:
                        self.wfile.write(state.garbage)
                self.send_response(status)
                for name, value in state.headers.items():
                    self.send_header(name, value)
                self.end_headers()
            except OSError:
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        if state.hold is not None:
            state.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
