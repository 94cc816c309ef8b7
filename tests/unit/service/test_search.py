"""The search: engines, hostile pages, and what is kept of good ones."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ddgs.engines.duckduckgo import Duckduckgo

from sterna_service.errors import Reason, ServiceError
from sterna_service.network import guard
from sterna_service.network.guard import is_public
from sterna_service.search import pages
from sterna_service.search.condense import condense, page_text
from sterna_service.search.pages import PageFetcher, PageRefusedError
from sterna_service.search.providers import (
    BraveProvider,
    DdgsProvider,
    SearchFailedError,
    SearchProvider,
    make_provider,
)
from sterna_service.search.research import Researcher
from tests.support.web_server import Page, WebServer, bomb, web_server


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with web_server() as server:
        monkeypatch.setattr(Duckduckgo, "search_url", f"{server.url}/ddg")
        yield server


def providers(web: WebServer) -> list[SearchProvider]:
    return [DdgsProvider(), BraveProvider("key", f"{web.url}/brave")]


@pytest.mark.parametrize("index", [0, 1])
async def test_both_engines(web: WebServer, index: int) -> None:
    web.add("/a", "Terns & gulls", "The tern is a bird.")
    web.add("/b", "Second", "Another page.")
    web.results.append(("bad", "javascript:alert(1)", "no"))
    hits = await providers(web)[index].search("what is a tern", 5)
    assert [(hit.title, hit.url) for hit in hits] == [
        ("Terns & gulls", f"{web.url}/a"),
        ("Second", f"{web.url}/b"),
    ]
    assert hits[0].snippet == "The tern is a bird."
    assert web.queries == ["what is a tern"]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("status", [200, 403, 500])
async def test_engines_that_fail(web: WebServer, index: int, status: int) -> None:
    web.status = status
    with pytest.raises(SearchFailedError):
        await providers(web)[index].search("x", 5)


async def test_an_engine_that_is_not_there() -> None:
    with pytest.raises(SearchFailedError):
        await BraveProvider("key", "http://127.0.0.1:9/").search("x", 5)


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEARCH_API_KEY", raising=False)
    assert make_provider("ddgs").name == "ddgs"
    with pytest.raises(ServiceError) as caught:
        make_provider("brave")
    assert caught.value.reason is Reason.SEARCH_NOT_CONFIGURED
    assert caught.value.metadata["variable"] == "SEARCH_API_KEY"
    monkeypatch.setenv("SEARCH_API_KEY", "secret")
    assert make_provider("brave").name == "brave"


async def test_a_page_is_fetched(web: WebServer) -> None:
    web.pages["/a"] = Page("Grüße".encode("latin-1"), "text/plain; charset=latin-1")
    web.pages["/to"] = Page(b"", status=302, headers={"Location": "/a"})
    fetcher = PageFetcher(allow_private=True)
    assert await fetcher.fetch(f"{web.url}/a") == "Grüße"
    assert await fetcher.fetch(f"{web.url}/to") == "Grüße"


@pytest.mark.parametrize("charset", ["no-such-code", "hex"])
async def test_a_page_in_an_encoding_that_there_is_not(web: WebServer, charset: str) -> None:
    web.pages["/a"] = Page("Grüße".encode(), f"text/plain; charset={charset}")
    assert await PageFetcher(allow_private=True).fetch(f"{web.url}/a") == "Grüße"


async def test_private_addresses_are_not_connected_to(web: WebServer) -> None:
    web.pages["/a"] = Page(b"secret")
    port = web.url.rsplit(":", 1)[1]
    addresses = [
        web.url,
        f"http://localhost:{port}",
        f"http://[::1]:{port}",
        "http://127.0.0.1",
        "http://127.1",
        "http://0.0.0.0",
        "http://2130706433",
        "http://[::ffff:127.0.0.1]",
        "http://[64:ff9b::7f00:1]",
        "http://10.0.0.1",
        "http://169.254.169.254",
        "http://[fe80::1]",
        "http://user@127.0.0.1",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://",
        "gopher://x",
    ]
    for address in addresses:
        with pytest.raises(PageRefusedError):
            await PageFetcher().fetch(f"{address}/a")
    assert web.fetched == []


async def test_a_name_that_means_something_private(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are looked up once per connection, and every address of theirs is checked."""
    asked: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        both = ["93.184.216.34", "127.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in both]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(PageRefusedError, match="not a public address"):
        await PageFetcher().fetch("http://rebind.example/a")
    assert asked == ["rebind.example"]


async def test_a_redirect_to_something_private(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.pages["/to"] = Page(b"", status=302, headers={"Location": "http://169.254.169.254/x"})
    monkeypatch.setattr(
        guard, "is_public", lambda address: address == "127.0.0.1" or is_public(address)
    )
    monkeypatch.setattr(pages, "_PORTS", {int(web.url.rsplit(":", 1)[1]), 80})
    with pytest.raises(PageRefusedError, match=r"169\.254\.169\.254"):
        await PageFetcher().fetch(f"{web.url}/to")
    assert web.fetched == ["/to"]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Page(b"x", "application/pdf"), "no text"),
        (Page(b"x", "text/html", 500), "500"),
        (Page(b"x" * (2 * 1024 * 1024 + 1)), "larger"),
        (bomb(50_000_000), "larger"),
        (Page(b"", status=302, headers={"Location": "/page"}), "redirects"),
        (Page(b"", status=302, headers={"Location": "file:///etc/passwd"}), "web address"),
    ],
)
async def test_pages_that_are_not_read(
    web: WebServer, page: Page, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine is no reason to give up before the reason is found.
    monkeypatch.setattr(pages, "_MOST_SECONDS", 60.0)
    monkeypatch.setattr(pages, "_TIMEOUT_SECONDS", 60.0)
    web.pages["/page"] = page
    with pytest.raises(PageRefusedError, match=words):
        await PageFetcher(allow_private=True).fetch(f"{web.url}/page")


async def test_a_page_that_never_comes(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    web.hold = threading.Event()
    monkeypatch.setattr(pages, "_MOST_SECONDS", 0.2)
    with pytest.raises(PageRefusedError, match="longer"):
        await PageFetcher(allow_private=True).fetch(f"{web.url}/page")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fc00::1", False),
        ("2002:7f00:1::", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_sentences_that_bear_on_the_query_are_kept() -> None:
    text = (
        "The weather was fine on that day in May.\n"
        "The Arctic tern flies from pole to pole every year.\n"
        "Many people like to eat ice cream in the park.\n"
        "No bird flies farther than the Arctic tern."
    )
    found = condense(text, "how far does the arctic tern fly", 40, lambda part: len(part.split()))
    assert "pole to pole" in found
    assert "farther" in found
    assert "ice cream" not in found
    assert found.index("pole") < found.index("farther")
    assert len(condense(text, "tern", 5, lambda part: len(part.split())).split()) <= 5
    assert condense("", "tern", 50, len) == ""


def test_menus_are_left_out() -> None:
    html = (
        "<html><body><nav>Home Shop Login</nav><article>"
        "<p>The common tern nests on every continent of the northern half of the world.</p>"
        "<p>It feeds on small fish, for which it dives into the sea from a height.</p>"
        "</article><footer>Cookies</footer></body></html>"
    )
    text = page_text(html)
    assert "nests on every continent" in text
    assert "Login" not in text
    assert page_text("<div>" * 200_000) == ""


async def test_research(web: WebServer) -> None:
    web.add(
        "/a", "Bora", "Bora Strel is a singer.\nBora Strel was born in the city of Lom in 1981."
    )
    web.add("/b", "Other", "Nothing of interest stands here at all, for anybody.")
    web.results.append(("gone", f"{web.url}/gone", "Bora Strel is gone."))
    researcher = Researcher(DdgsProvider(), PageFetcher(allow_private=True))
    findings = await researcher.research(
        "where was Bora Strel born", 60, lambda text: len(text.split())
    )
    assert findings
    assert "born in the city of Lom" in " ".join(each.text for each in findings)
    assert sum(len(each.text.split()) for each in findings) <= 60
    assert sorted(web.fetched) == ["/a", "/b", "/gone"]
