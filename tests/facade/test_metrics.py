"""What the façade measures, and its page for Prometheus."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from sterna_rest.app import FacadeOptions, create_app
from sterna_rest.http.metrics import UNMATCHED, HttpMetrics, MetricsMiddleware
from sterna_service.app import CoreOptions, start_core
from tests.facade.conftest import Live
from tests.support.core import eventually
from tests.support.facade_server import facade_server
from tests.support.keys import bearer, make_key
from tests.support.metrics import Scrape, parse, scrape

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = "http_server_request_duration_seconds_count"


async def _page(url: str) -> Scrape:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return parse(answer.text)


async def test_requests_are_counted_by_route_template_and_status(live: Live) -> None:
    options = FacadeOptions(core_address=live.core_address)
    async with facade_server(create_app(options)) as url, httpx.AsyncClient(timeout=60) as client:
        for model in ("sterna/tern-nano", "tern-nano", "no/such/model"):
            await client.get(f"{url}/v1/models/{model}")
        for path in ("/nope", "/nope/again", "/.env"):
            assert (await client.get(url + path)).status_code == 404
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
        assert (await client.post(f"{url}/v1/chat/completions", json=body)).status_code == 200
        assert (await client.post(f"{url}/v1/chat/completions", json={})).status_code >= 400
        await client.request("PROPFIND", f"{url}/health")
        page = await _page(url)
    one = {"http_route": "/v1/models/{model:path}", "http_request_method": "GET"}
    assert page.value(COUNT, **one, http_response_status_code="200") == 2
    assert page.value(COUNT, **one, http_response_status_code="404") == 1
    assert page.value(COUNT, http_route=UNMATCHED, http_response_status_code="404") == 3
    assert page.value(COUNT, http_route="/v1/chat/completions") == 2
    assert page.value(COUNT, http_request_method="_OTHER") == 1
    # The page itself is being answered.
    assert page.value("http_server_active_requests") == 1
    routes = page.labels(COUNT, "http_route")
    assert not any("tern-nano" in route or "nope" in route for route in routes)


async def test_the_page_can_be_switched_off(live: Live) -> None:
    metrics = HttpMetrics()
    options = FacadeOptions(core_address=live.core_address, metrics=metrics, show_metrics=False)
    async with facade_server(create_app(options)) as url, httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/metrics")).status_code == 404
        await client.get(f"{url}/health")
    assert scrape(metrics.registry).value(COUNT, http_route="/health") == 1


async def test_openmetrics_for_those_who_ask(live: Live) -> None:
    async with httpx.AsyncClient() as client:
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        answer = await client.get(f"{live.url}/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_a_client_that_leaves_before_there_is_a_status_is_a_499() -> None:
    metrics = HttpMetrics()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    task = asyncio.create_task(MetricsMiddleware(app, metrics)(scope, receive, send))
    await asyncio.sleep(0)
    assert scrape(metrics.registry).value("http_server_active_requests") == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    page = scrape(metrics.registry)
    assert page.value(COUNT, http_response_status_code="499", http_route=UNMATCHED) == 1
    assert page.value("http_server_active_requests") == 0


async def test_where_keys_are_on_the_page_asks_for_one(tmp_path: Path) -> None:
    core = await start_core(CoreOptions(home=tmp_path, port=0, threads=1, keys=True))
    try:
        options = FacadeOptions(core_address=core.unix_address, keys=True)
        async with facade_server(create_app(options)) as url, httpx.AsyncClient() as client:
            expected = {"": 401, "inference": 403, "metrics": 200, "admin": 200}
            for scope, status in expected.items():
                headers = dict(bearer(await make_key(tmp_path, scope))) if scope else {}
                answer = await client.get(f"{url}/metrics", headers=headers)
                assert answer.status_code == status, (scope, answer.text)
            # The end of a request cancels its admission, which is no failure.
            calls, admit = "rpc_server_call_duration_seconds_count", "sterna.v1.AccessService/Admit"

            async def all_ended() -> bool:
                return scrape(core.metrics.registry).value(calls, rpc_method=admit) == 4

            await eventually(all_ended)
            ended = scrape(core.metrics.registry).labels(calls, "rpc_response_status_code")
            assert ended == {"OK", "UNAUTHENTICATED"}
    finally:
        await core.stop(0)
