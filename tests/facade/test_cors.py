"""Which web pages may call."""

from __future__ import annotations

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sterna_rest.app import FacadeOptions, create_app
from tests.facade.conftest import Live
from tests.support.facade_server import facade_server
from tests.support.scripted_facade import facade, good

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "https://app.example"
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


async def preflight(client: httpx.AsyncClient, origin: str) -> httpx.Response:
    return await client.options("/v1/chat/completions", headers={"origin": origin, **ASKS})


async def test_nobody_by_default() -> None:
    async with facade(good) as (client, _):
        answer = await client.get("/health", headers={"origin": PAGE})
        assert "access-control-allow-origin" not in answer.headers
        assert (await preflight(client, PAGE)).status_code == 405


async def test_the_pages_that_were_named() -> None:
    # The browser asks without a key, and also where keys are on.
    async with facade(good, cors_origins=(PAGE,), keys=True) as (client, _):
        asked = await preflight(client, PAGE)
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == PAGE
        assert "authorization" in asked.headers["access-control-allow-headers"]
        answer = await client.get("/health", headers={"origin": PAGE})
        assert "x-ratelimit-remaining-requests" in answer.headers["access-control-expose-headers"]
        assert answer.headers["x-request-id"]
        other = await preflight(client, "https://evil.example")
        assert "access-control-allow-origin" not in other.headers


async def test_sockets_follow_the_same_rule(live: Live) -> None:
    app = create_app(FacadeOptions(core_address=live.core_address, cors_origins=(PAGE,)))
    async with facade_server(app) as url:
        address = url.replace("http", "ws", 1) + "/v1/ws"
        async with connect(address, origin=PAGE):  # type: ignore[arg-type]
            pass
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            async with connect(address, origin="https://evil.example") as socket:  # type: ignore[arg-type]
                await socket.recv()
