"""The playground's files, and who is sent there. What the page does: tests/browser."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_browsers_are_sent_there_and_others_are_not(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url) as client:
        browser = await client.get("/", headers={"accept": "text/html,application/xml;q=0.9"})
        assert (browser.status_code, browser.headers["location"]) == (307, "/playground")
        plain = await client.get("/")
        assert plain.json()["name"] == "Sterna"


async def test_the_page_needs_only_its_own_files(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url) as client:
        page = await client.get("/playground")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        wanted = set(re.findall(r'(?:src|href)="(/playground/[^"]+)"', page.text))
        script = await client.get("/playground/playground.js")
        wanted |= {f"/playground/{name}" for name in re.findall(r'from "\./([^"]+)"', script.text)}
        assert len(wanted) == 5
        for path in wanted:
            assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("name", ["index.html", "..%2Frouter.py", "router.py", "a/b"])
async def test_nothing_else_is_served(live: Live, name: str) -> None:
    async with httpx.AsyncClient(base_url=live.url) as client:
        answer = await client.get(f"/playground/{name}")
    assert answer.status_code == 404


async def test_the_viewer_of_the_document_needs_nobody_else(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url) as client:
        page = await client.get("/docs")
        files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert files
        for path in files:
            assert path.startswith("/")
            assert (await client.get(path)).status_code == 200
