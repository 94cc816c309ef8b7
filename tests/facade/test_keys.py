"""API keys through REST: every way in, and what whoever stays outside is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sterna_rest.access.admission import require_scope
from sterna_rest.access.middleware import PUBLIC_PATHS
from sterna_rest.app import FacadeOptions, create_app
from sterna_service.app import CoreOptions, start_core
from tests.facade.conftest import Live
from tests.support.facade_server import facade_server
from tests.support.keys import bearer, make_key, revoke_key

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
PARIS = "The capital of France is Paris."
MODEL = "sterna/tern-nano"


@dataclass
class Stand:
    """A façade in front of a core that asks for keys."""

    url: str
    ollama_url: str
    home: Path
    key: str

    def openai(self, key: str) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=60)

    async def socket_answer(self, **options: Any) -> dict[str, Any]:
        """The last event of one message over a WebSocket."""
        url = self.url.replace("http", "ws", 1) + "/v1/ws"
        async with connect(url, **options) as socket:
            message = {"type": "chat_message", "model": "", "message": QUESTION[0]["content"]}
            await socket.send(json.dumps(message | {"options": {"temperature": 0}}))
            while True:
                event: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 60))
                if event["type"] in ("done", "error"):
                    return event


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    home = tmp_path_factory.mktemp("locked")
    core = await start_core(CoreOptions(home=home, port=0, threads=1, keys=True))
    try:
        app = with_own_route(FacadeOptions(core_address=core.unix_address, keys=True))
        other = create_app(FacadeOptions(core_address=core.unix_address, keys=True, ollama=True))
        async with facade_server(app) as url, facade_server(other) as ollama_url:
            yield Stand(url, ollama_url, home, await make_key(home))
    finally:
        await core.stop(0)


def with_own_route(options: FacadeOptions) -> FastAPI:
    app = create_app(options)

    @app.get("/own")
    async def own(request: Request) -> str:
        require_scope(request, "metrics")
        return "here"

    return app


async def test_openai_with_a_key(stand: Stand) -> None:
    async with stand.openai(stand.key) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0)
        assert answer.choices[0].message.content == PARIS
        stream = await client.chat.completions.create(
            model=MODEL, messages=QUESTION, temperature=0, stream=True
        )
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(texts) == PARIS


async def test_openai_without_a_good_key(stand: Stand) -> None:
    async with stand.openai("unused") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "authentication_error"
    assert caught.value.response.headers["www-authenticate"] == 'Bearer realm="sterna"'
    assert caught.value.response.headers["x-request-id"]


async def test_anthropic_sends_another_header(stand: Stand) -> None:
    options: Any = {"model": MODEL, "max_tokens": 64, "messages": QUESTION}
    async with anthropic.AsyncAnthropic(
        base_url=stand.url, api_key=stand.key, max_retries=0
    ) as good:
        answer = await good.messages.create(**options, extra_body={"temperature": 0})
        assert answer.content[0].text == PARIS
    async with anthropic.AsyncAnthropic(base_url=stand.url, api_key="sk-x", max_retries=0) as bad:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await bad.messages.create(**options)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "authentication_error"


async def test_ollama_with_and_without_a_key(stand: Stand) -> None:
    client = ollama.AsyncClient(stand.ollama_url, headers=dict(bearer(stand.key)))
    answer = await client.chat(MODEL, QUESTION, options={"temperature": 0})
    assert answer.message.content == PARIS
    with pytest.raises(ollama.ResponseError, match="an API key is needed") as caught:
        await ollama.AsyncClient(stand.ollama_url).chat(MODEL, QUESTION)
    assert caught.value.status_code == 401


async def test_myllm_body(stand: Stand) -> None:
    async with httpx.AsyncClient(base_url=stand.url) as client:
        refused = await client.get("/api/models")
        assert refused.status_code == 401
        assert list(refused.json()) == ["detail"]
        answer = await client.get("/api/models", headers=dict(bearer(stand.key)))
        assert answer.status_code == 200
        assert (await client.get("/")).status_code == 401


async def test_a_scope_is_missing(stand: Stand) -> None:
    key = await make_key(stand.home, "inference")
    async with stand.openai(key) as client:
        await client.models.list()
        with pytest.raises(openai.PermissionDeniedError) as caught:
            await client.audio.speech.create(model="tts-1", voice="alba", input="Hello")
    assert caught.value.code == "permission_denied"
    assert caught.value.type == "permission_error"
    assert "speech" in caught.value.message


async def test_the_socket(stand: Stand) -> None:
    done = await stand.socket_answer(additional_headers=dict(bearer(stand.key)))
    assert done["text"] == PARIS
    # As a browser does, which cannot set headers.
    protocols = ["realtime", f"openai-insecure-api-key.{stand.key}"]
    async with connect(f"{stand.url.replace('http', 'ws', 1)}/v1/realtime", subprotocols=protocols):  # type: ignore[arg-type]
        pass
    with pytest.raises(InvalidStatus) as caught:
        await stand.socket_answer()
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body or b"")["error"]["code"] == "invalid_api_key"


async def test_a_conversation_belongs_to_its_key(stand: Stand) -> None:
    other = await make_key(stand.home)
    async with httpx.AsyncClient(base_url=stand.url, timeout=60) as client:

        async def ask(key: str, session_id: str = "", **more: Any) -> httpx.Response:
            body = {"model": MODEL, "messages": QUESTION, "options": {"max_tokens": 8}} | more
            if session_id:
                body["session_id"] = session_id
            return await client.post("/api/chat", json=body, headers=dict(bearer(key)))

        begun = (await ask(stand.key)).json()["session_id"]
        refused, unknown = await ask(other, begun), await ask(other, "unknown")
        assert refused.status_code == unknown.status_code == 404
        assert refused.json()["detail"] == unknown.json()["detail"].replace("unknown", begun)
        assert (await ask(other, begun, stream=True)).status_code == 404
        again = await ask(stand.key, begun)
        assert (again.status_code, again.json()["session_id"]) == (200, begun)


async def test_an_upload_is_refused_before_it_is_read(stand: Stand) -> None:
    host, _, port = stand.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    # Announced, and never sent.
    writer.write(
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
    )
    status = await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    assert status.split()[1] == b"401"


async def test_what_is_open_to_everybody(stand: Stand) -> None:
    async with httpx.AsyncClient(base_url=stand.url, timeout=60) as client:
        found = {path: (await client.get(path)).status_code for path in PUBLIC_PATHS - {"/"}}
    # Those that this server has; the others are not found, and ask for no key either.
    assert set(found.values()) <= {200, 404}
    assert {found[path] for path in ("/health", "/ready", "/docs", "/openapi.json")} == {200}


async def test_unknown_paths_need_a_key(stand: Stand) -> None:
    async with httpx.AsyncClient(base_url=stand.url, timeout=60) as client:
        for path in ("/v1/nothing", "/nothing", "/health/", "/docs/secret", "/v1/health"):
            assert (await client.get(path)).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Basic YTpi", "Bearer " + "k" * 7000, "bearer a b"],
)
async def test_odd_headers_are_refused(stand: Stand, header: str) -> None:
    async with httpx.AsyncClient(base_url=stand.url, timeout=60) as client:
        refused = await client.get("/v1/models", headers={"authorization": header})
    assert refused.status_code == 401


async def test_own_routes_can_ask_for_a_scope(stand: Stand) -> None:
    inference = await make_key(stand.home, "inference")
    metrics = await make_key(stand.home, "metrics")
    async with httpx.AsyncClient(base_url=stand.url, timeout=60) as client:
        statuses = [
            (await client.get("/own", headers=headers)).status_code
            for headers in ({}, dict(bearer(inference)), dict(bearer(metrics)))
        ]
        assert statuses == [401, 403, 200]
        assert (await client.get("/metrics", headers=dict(bearer(inference)))).status_code == 403
        assert (await client.get("/metrics", headers=dict(bearer(metrics)))).status_code == 200


async def test_a_revoked_key_stops_working(stand: Stand) -> None:
    key = await make_key(stand.home)
    async with httpx.AsyncClient(base_url=stand.url, headers=dict(bearer(key))) as client:
        assert (await client.get("/v1/models")).status_code == 200
        await revoke_key(stand.home, key)
        async with asyncio.timeout(60):
            while (await client.get("/v1/models")).status_code != 401:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_core_without_keys_is_no_way_in(live: Live) -> None:
    app = create_app(FacadeOptions(core_address=live.core_address, keys=True))
    async with facade_server(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        refused = await client.get("/v1/models", headers=dict(bearer("anything")))
        assert refused.status_code == 503
        assert "operator" in refused.json()["error"]["message"]
        assert (await client.get("/health")).status_code == 200
