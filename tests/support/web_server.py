"""A local web: two search engines and pages, some of which mean harm."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Page:
    """What one path answers."""

    body: bytes
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class WebServer:
    """Pages by path; `results` are what both engines find: title, address, words."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    results: list[tuple[str, str, str]] = field(default_factory=list)
    status: int = 200
    queries: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    hold: threading.Event | None = None
    """Pages wait for it."""

    def add(self, path: str, title: str, text: str, words: str = "") -> None:
        """A page that the engines find."""
        paragraphs = "".join(f"<p>{escape(part)}</p>" for part in text.split("\n"))
        html = (
            f"<html><head><title>{escape(title)}</title></head><body><nav>Home Shop Login</nav>"
            f"<article><h1>{escape(title)}</h1>{paragraphs}</article></body></html>"
        )
        self.pages[path] = Page(html.encode())
        self.results.append((title, self.url + path, words or text[:100]))


@contextmanager
def web_server() -> Iterator[WebServer]:
    """Runs one on a free port."""
    web = WebServer()

    class Handler(_Handler):
        state = web

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield web
    finally:
        if web.hold is not None:
            web.hold.set()
        server.shutdown()
        server.server_close()


def bomb(size: int) -> Page:
    """A small transfer that becomes a large page."""
    return Page(gzip.compress(b"a" * size), headers={"Content-Encoding": "gzip"})


class _Handler(BaseHTTPRequestHandler):
    state: WebServer

    def log_message(self, *arguments: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        parsed = urlsplit(self.path)
        if parsed.path == "/brave":
            self.state.queries.append(parse_qs(parsed.query)["q"][0])
            self.state.keys.append(self.headers.get("X-Subscription-Token", ""))
            found = [
                {"title": title, "url": url, "description": words}
                for title, url, words in self.state.results
            ]
            body = json.dumps({"web": {"results": found}}).encode()
            self._answer(Page(body, "application/json", self.state.status))
            return
        self.state.fetched.append(parsed.path)
        if self.state.hold is not None:
            self.state.hold.wait(60)
        self._answer(self.state.pages.get(parsed.path, Page(b"none", status=404)))

    def do_POST(self) -> None:
        """DuckDuckGo's page without scripts."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.state.queries.append(form["q"][0])
        rows = "".join(
            f'<div class="links_main result__body"><h2><a href="{escape(url)}">{escape(title)}</a>'
            f'</h2><a href="{escape(url)}">{escape(words)}</a></div>'
            for title, url, words in self.state.results
        )
        self._answer(Page(f"<html><body>{rows}</body></html>".encode(), status=self.state.status))

    def _answer(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.kind)
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)
