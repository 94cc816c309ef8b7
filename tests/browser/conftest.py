"""A browser in front of a real server with the embedded model (scripts/test_browser.sh)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.server_process import ServerProcess

pytest.importorskip("playwright", reason="run by scripts/test_browser.sh")
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    home = tmp_path_factory.mktemp("home")
    with ServerProcess(["serve", "--port", "0", "--grpc-port", "0"], home=home) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["STERNA_CHROMIUM"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: ServerProcess) -> Iterator[Page]:
    """A page that fails its test when a script of it fails, or asks anything of another server."""
    context = browser.new_context(base_url=server.rest_url)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: (
            problems.append(request.url)
            if not request.url.startswith((server.rest_url, "data:", "blob:"))
            else None
        ),
    )
    yield page
    context.close()
    assert problems == []
