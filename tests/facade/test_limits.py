"""Limits through REST: headers on every answer, 429 when it is too much, each client for itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from starlette.datastructures import Headers
from websockets.asyncio.client import connect

from sterna_rest.access.client import client_address, parse_networks
from sterna_rest.app import FacadeOptions, create_app
from sterna_rest.options import ListenerLimits
from sterna_service.access.limits import Limits
from sterna_service.app import Core, CoreOptions, start_core
from tests.facade.conftest import Live
from tests.support.facade_server import facade_server
from tests.support.keys import bearer, make_key

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
}
PROXY = parse_networks(["127.0.0.1"])


@asynccontextmanager
async def limited(live: Live, listener: str, **limits: int) -> AsyncIterator[httpx.AsyncClient]:
    """A façade on the core's Unix socket, whose clients a proxy tells apart."""
    options = FacadeOptions(
        core_address=live.unix_address,
        listener=listener,
        limits=ListenerLimits(**limits),
        trusted_proxies=PROXY,
    )
    async with (
        facade_server(create_app(options)) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        yield client


def of(address: str) -> dict[str, str]:
    return {"x-forwarded-for": address}


async def test_every_answer_tells_what_is_left(live: Live) -> None:
    async with limited(live, "headers", requests=10, tokens=5000) as client:
        left = []
        for path, body in (
            ("/v1/chat/completions", HELLO),
            ("/v1/chat/completions", HELLO | {"stream": True}),
            ("/v1/chat/completions", {"messages": "nonsense"}),
            ("/v1/nothing", {}),
        ):
            answer = await client.post(path, json=body)
            left.append(int(answer.headers["x-ratelimit-remaining-requests"]))
            assert answer.headers["x-ratelimit-limit-requests"] == "10"
            assert 0 < float(answer.headers["x-ratelimit-reset-requests"].rstrip("s")) <= 60
            assert answer.headers["x-ratelimit-limit-tokens"] == "5000"
        assert left == [9, 8, 7, 6]
        # What the two answers took.
        assert 0 < int(answer.headers["x-ratelimit-remaining-tokens"]) < 5000
        assert "x-ratelimit-limit-requests" not in (await client.get("/health")).headers


async def test_one_request_too_many(live: Live) -> None:
    async with limited(live, "requests", requests=2) as client:
        api = openai.AsyncOpenAI(base_url=f"{client.base_url}/v1", api_key="x", max_retries=0)
        for _ in range(2):
            await api.models.list()
        with pytest.raises(openai.RateLimitError) as caught:
            await api.chat.completions.create(model="", stream=True, **HELLO)
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.type == "rate_limit_error"
        headers = caught.value.response.headers
        assert 1 <= int(headers["retry-after"]) <= 60
        assert 1 <= int(headers["retry-after-ms"]) <= 60_000
        assert headers["x-should-retry"] == "true"
        assert headers["x-ratelimit-remaining-requests"] == "0"
        refused = await client.get("/api/models")
        assert refused.status_code == 429
        assert "2 requests per minute" in refused.json()["detail"]
        refused = await client.post("/v1/messages", json={})
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert (await client.get("/health")).status_code == 200
        # Somebody else is not concerned.
        assert (await client.get("/v1/models", headers=of("192.0.2.1"))).status_code == 200
        await api.close()


async def test_several_prompts_are_one_request(live: Live) -> None:
    async with limited(live, "prompts", requests=1, concurrent=1, streams=1) as client:
        body = {"prompt": ["a", "b", "c", "d"], "max_tokens": 3, "stream": True}
        answer = await client.post("/v1/completions", json=body)
        assert answer.status_code == 200
        assert answer.text.endswith("data: [DONE]\n\n")


async def test_tokens_are_charged(live: Live) -> None:
    async with limited(live, "tokens", tokens=30) as client:
        answer = await client.post("/v1/chat/completions", json=HELLO)
        assert answer.status_code == 200
        assert answer.json()["usage"]["total_tokens"] >= 20
        await client.post("/v1/chat/completions", json=HELLO)
        refused = await client.post("/v1/chat/completions", json=HELLO)
        assert refused.status_code == 429
        assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
        assert "30 tokens per minute" in refused.json()["error"]["message"]


async def test_streams_at_the_same_time(live: Live) -> None:
    body = HELLO | {"stream": True, "max_tokens": 900, "ignore_eos": True}
    async with (
        limited(live, "streams", streams=1, concurrent=3) as client,
        AsyncExitStack() as held,
    ):
        api = client.build_request("POST", "/v1/chat/completions", json=body)
        first = await client.send(api, stream=True)
        held.push_async_callback(first.aclose)
        statuses = {first.status_code}
        for _ in range(20):
            # The first may have ended meanwhile: this machine is fast.
            others = await asyncio.gather(
                *(client.post("/v1/chat/completions", json=body) for _ in range(3))
            )
            statuses |= {each.status_code for each in others}
            for each in others:
                if each.status_code == 429:
                    assert "concurrent" in each.json()["error"]["message"]
                    assert each.headers["retry-after"] == "1"
            if 429 in statuses:
                break
        assert statuses == {200, 429}


async def test_an_upload_has_its_size(live: Live) -> None:
    async with limited(live, "upload", upload=5000) as client:
        refused = await client.post("/v1/chat/completions", json=HELLO | {"user": "x" * 6000})
        assert refused.status_code == 413
        assert "5000 bytes" in refused.json()["error"]["message"]
        assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200


async def test_messages_of_a_socket_are_requests(live: Live) -> None:
    async with limited(live, "socket", requests=3) as client:
        url = str(client.base_url).replace("http", "ws", 1) + "/v1/ws"
        async with connect(url) as socket:
            outcomes = []
            for _ in range(3):
                await socket.send(
                    json.dumps({"type": "chat_message", "model": "", "message": "Hello"})
                )
                event: dict[str, Any] = {}
                while event.get("type") not in ("done", "error"):
                    event = json.loads(await asyncio.wait_for(socket.recv(), 60))
                outcomes.append(event)
        assert [each["type"] for each in outcomes] == ["done", "done", "error"]
        assert outcomes[2]["error"]["code"] == "rate_limit_exceeded"


@dataclass
class Locked:
    """A core that asks for keys."""

    core: Core
    home: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def locked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Locked]:
    home = tmp_path_factory.mktemp("limits")
    options = CoreOptions(home=home, port=0, threads=1, keys=True, limits=Limits(requests=100))
    core = await start_core(options)
    try:
        yield Locked(core, home)
    finally:
        await core.stop(0)


async def test_a_key_has_one_allowance_for_rest_and_grpc(locked: Locked) -> None:
    from sterna import AsyncClient

    key = await make_key(locked.home, limits=Limits(requests=4))
    options = [
        FacadeOptions(core_address=locked.core.unix_address, keys=True, listener=name)
        for name in ("a", "b")
    ]
    async with (
        facade_server(create_app(options[0])) as first,
        facade_server(create_app(options[1])) as second,
        httpx.AsyncClient(headers=dict(bearer(key)), timeout=60) as client,
        AsyncClient(locked.core.address, api_key=key) as direct,
    ):
        left = [
            (await client.get(f"{url}/v1/models")).headers["x-ratelimit-remaining-requests"]
            for url in (first, second)
        ]
        await direct.tokenize("Hello")
        left.append(
            (await client.get(f"{first}/v1/models")).headers["x-ratelimit-remaining-requests"]
        )
        assert left == ["3", "2", "0"]
        assert (await client.get(f"{second}/v1/models")).status_code == 429


async def test_a_facade_that_is_not_trusted(locked: Locked) -> None:
    key = await make_key(locked.home, limits=Limits(requests=2))
    app = create_app(FacadeOptions(core_address=locked.core.address, keys=True))
    async with (
        facade_server(app) as url,
        httpx.AsyncClient(headers=dict(bearer(key)), timeout=60) as client,
    ):
        # It may not count for others, but its calls are judged and counted as any others.
        statuses = [(await client.get(f"{url}/v1/models")).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await client.get(f"{url}/v1/models", headers=dict(bearer("x")))).status_code == 401


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["1.1.1.1, 198.51.100.1, 10.0.0.9"], "198.51.100.1"),
        ("127.0.0.1", ["1.1.1.1", "198.51.100.1:4711"], "198.51.100.1"),
        ("127.0.0.1", ["[2001:db8::1]:80"], "2001:db8::1"),
        ("127.0.0.1", ["198.51.100.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    ],
)
async def test_who_the_client_is(peer: str, forwarded: list[str], expected: str) -> None:
    raw = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope = {"type": "http", "client": (peer, 1), "headers": raw}
    assert Headers(scope=scope).getlist("x-forwarded-for") == forwarded
    assert client_address(scope, parse_networks(["127.0.0.1", "10.0.0.0/8"])) == expected
    assert client_address(scope, ()) == peer
