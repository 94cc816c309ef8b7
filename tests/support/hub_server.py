"""A local server that speaks as much of the hub's HTTP API as a download needs, and misbehaves."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "a" * 40
TOKEN = "hf_right"
_LARGE = (".safetensors", ".gguf", ".onnx", ".onnx_data")

# Any commit that somebody names is there, and holds the same.
_PINNED = re.compile(r"(?!b{40})[0-9a-f]{40}")

_INFO = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/?]+))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)")


@dataclass
class HubServer:
    """Repositories by id, each a directory; and what goes wrong."""

    url: str = ""
    repositories: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    wrong_digests: set[str] = field(default_factory=set)
    """Files whose announced digest is another one."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes of a large file each of the next transfers ends."""
    refusals: list[int] = field(default_factory=list)
    """Statuses of the next requests for files."""
    extra_files: list[str] = field(default_factory=list)
    """Names that the listing claims, too."""
    ignores_ranges: bool = False
    hold: threading.Event | None = None
    """Large files wait in the middle until it is set."""
    waiting: bool = False
    """Whether one has waited."""
    ranges: list[str] = field(default_factory=list)
    """Of the requests that had one."""
    sent_bytes: int = 0
    tokens: list[str] = field(default_factory=list)


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Runs one on a free port."""
    hub = HubServer()

    class Handler(_Handler):
        state = hub

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Quiet: whoever asked was killed, or cancelled."""

    server = Server(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if hub.hold is not None:
            hub.hold.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.state.tokens.append(token)
        if found := _INFO.fullmatch(self.path.partition("?")[0]):
            self._info(found[1], found[2] or "main", token)
        elif found := _FILE.fullmatch(self.path.partition("?")[0]):
            self._file(found[1], found[2], found[3], token)
        else:
            self._refuse(404, "EntryNotFound")

    def _info(self, repository: str, revision: str, token: str) -> None:
        state = self.state
        root = state.repositories.get(repository)
        if root is None or (repository in state.private and token != TOKEN):
            # The real one does not tell what is missing from what is private.
            self._refuse(401, "RepoNotFound")
            return
        if revision not in ("main", "v1", COMMIT) and not _PINNED.fullmatch(revision):
            self._refuse(404, "RevisionNotFound")
            return
        siblings = [self._sibling(root, path) for path in sorted(root.rglob("*")) if path.is_file()]
        siblings += [{"rfilename": name, "size": 3, "blobId": "0"} for name in state.extra_files]
        commit = revision if _PINNED.fullmatch(revision) else COMMIT
        body = {"id": repository, "modelId": repository, "sha": commit, "siblings": siblings}
        self._json(200, body)

    def _sibling(self, root: Path, path: Path) -> dict[str, object]:
        data = path.read_bytes()
        entry: dict[str, object] = {"rfilename": str(path.relative_to(root)), "size": len(data)}
        if path.name in self.state.wrong_digests:
            data += b"!"
        if path.suffix in _LARGE:
            digest = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 130}
            entry["blobId"] = "b" * 40
        else:
            header = f"blob {path.stat().st_size}\0".encode()
            entry["blobId"] = hashlib.sha1(header + data, usedforsecurity=False).hexdigest()
        return entry

    def _file(self, repository: str, revision: str, name: str, token: str) -> None:
        state = self.state
        if state.refusals:
            self._refuse(state.refusals.pop(0), "")
            return
        if repository in state.gated and token != TOKEN:
            self._refuse(403, "GatedRepo")
            return
        path = state.repositories[repository] / name
        if (revision != COMMIT and not _PINNED.fullmatch(revision)) or not path.is_file():
            self._refuse(404, "EntryNotFound")
            return
        data, start = path.read_bytes(), 0
        if (wanted := self.headers.get("Range")) and not state.ignores_ranges:
            state.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self._send(data[start:], large=path.suffix in _LARGE)

    def _send(self, data: bytes, *, large: bool) -> None:
        state = self.state
        if large and state.cuts:
            data = data[: state.cuts.pop(0)]
            self.close_connection = True
        half = len(data) // 2 if large and state.hold is not None else 0
        if half:
            assert state.hold is not None
            self.wfile.write(data[:half])
            self.wfile.flush()
            state.waiting = True
            state.hold.wait(60)
        try:
            self.wfile.write(data[half:])
        except OSError:
            self.close_connection = True
        state.sent_bytes += len(data)

    def _json(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "0")
        self.end_headers()
