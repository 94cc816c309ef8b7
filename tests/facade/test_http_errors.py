"""Every refusal that needs no core, over real HTTP: status, body, parameter."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sterna_rest.app import FacadeOptions, create_app
from tests.support.facade_server import facade_server

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
QUESTION = [{"role": "user", "content": "Hi"}]

# Nothing listens on the discard port.
NOWHERE = "127.0.0.1:9"


# One server for the whole file, and so one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    options = FacadeOptions(core_address=NOWHERE, max_body_bytes=20_000, max_message_bytes=10_000)
    async with (
        facade_server(create_app(options)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        yield client


def check_envelope(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    assert isinstance(body["error"]["type"], str)
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{", "line 1 column"),
        (b'{"messages": [}', "line 1 column"),
        (b'{"temperature": NaN}', "not valid JSON"),
        (b'{"temperature": Infinity}', "not valid JSON"),
        (b'{"temperature": -Infinity}', "not valid JSON"),
        (b'{"user": "\xff"}', "not valid UTF-8 at byte 10"),
        (b'{"user": "\\ud800"}', "not valid JSON"),
        (b"[" * 10_000, "recursion limit"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
    ],
)
async def test_malformed_json(client: httpx.AsyncClient, raw: bytes, says: str) -> None:
    response = await client.post(CHAT, content=raw, headers={"content-type": "application/json"})
    assert response.status_code == 400
    error = check_envelope(response)
    assert error["code"] == "invalid_request"
    assert says in error["message"]


MISSING = (400, "missing_required_parameter")
TYPE = (400, "invalid_type")
VALUE = (422, "invalid_value")


def says(content: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("body", "param", "expected"),
    [
        ({}, "messages", MISSING),
        ([], None, TYPE),
        ("text", None, TYPE),
        ({"messages": "x"}, "messages", TYPE),
        ({"messages": []}, "messages", VALUE),
        ({"messages": [{"content": "x"}]}, "messages[0].role", MISSING),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", VALUE),
        ({"messages": [{"role": "user"}]}, "messages[0].content", MISSING),
        (says(5), "messages[0].content", TYPE),
        (says([{"text": "a"}]), "messages[0].content[0].type", MISSING),
        (says("x") | {"logprobs": 1}, "logprobs", TYPE),
        (says("x") | {"logprobs": True, "top_logprobs": 21}, "top_logprobs", VALUE),
        (says("x") | {"top_logprobs": 2}, "top_logprobs", (400, "invalid_value")),
        (says("x") | {"max_completion_tokens": 0}, "max_completion_tokens", VALUE),
        (
            says([{"type": "input_audio"}]),
            "messages[0].content[0].type",
            (400, "unsupported_parameter"),
        ),
    ],
)
async def test_chat_bodies_that_do_not_fit(
    client: httpx.AsyncClient, body: object, param: str | None, expected: tuple[int, str]
) -> None:
    check_refusal(await client.post(CHAT, json=body), param, expected)


@pytest.mark.parametrize("prompt", [None, 7, True, {}])
async def test_what_is_no_prompt(client: httpx.AsyncClient, prompt: object) -> None:
    check_refusal(await client.post(TEXT, json={"prompt": prompt}), "prompt", TYPE)


@pytest.mark.parametrize(
    ("field", "value", "param", "expected"),
    [
        ("prompt", [], "prompt", VALUE),
        ("prompt", [[]], "prompt[0]", VALUE),
        ("prompt", [1, "a"], "prompt[1]", TYPE),
        ("prompt", [-1], "prompt[0]", VALUE),
        ("logprobs", True, "logprobs", TYPE),
        ("logprobs", 21, "logprobs", VALUE),
        ("model", 3, "model", TYPE),
        ("temperature", -0.1, "temperature", VALUE),
        ("temperature", 2.1, "temperature", VALUE),
        ("temperature", "hot", "temperature", TYPE),
        ("temperature", True, "temperature", TYPE),
        ("top_p", 0, "top_p", VALUE),
        ("top_p", 1.01, "top_p", VALUE),
        ("top_k", -1, "top_k", VALUE),
        ("top_k", 1.5, "top_k", TYPE),
        ("min_p", 1.5, "min_p", VALUE),
        ("repetition_penalty", -1, "repetition_penalty", VALUE),
        ("frequency_penalty", 3, "frequency_penalty", VALUE),
        ("presence_penalty", -3, "presence_penalty", VALUE),
        ("max_tokens", 0, "max_tokens", VALUE),
        ("n", 0, "n", VALUE),
        ("n", 129, "n", VALUE),
        ("seed", 2**63, "seed", VALUE),
        ("seed", 2**80, "seed", VALUE),
        ("stop", "", "stop", VALUE),
        ("stop", ["a"] * 17, "stop", VALUE),
        ("stop", ["a", 1], "stop[1]", TYPE),
        ("stop", 1, "stop", TYPE),
        ("logit_bias", {"a": 1}, "logit_bias.a", VALUE),
        ("logit_bias", {str(2**31): 1}, f"logit_bias.{2**31}", VALUE),
        ("logit_bias", {"1": 101}, "logit_bias.1", VALUE),
        ("logit_bias", [1], "logit_bias", TYPE),
        ("stream", "yes", "stream", TYPE),
        ("stream_options", {"include_usage": 1}, "stream_options.include_usage", TYPE),
    ],
)
async def test_completion_fields_that_do_not_fit(
    client: httpx.AsyncClient, field: str, value: object, param: str, expected: tuple[int, str]
) -> None:
    body = {"prompt": "x"} | {field: value}
    check_refusal(await client.post(TEXT, json=body), param, expected)


async def test_a_completion_without_a_prompt(client: httpx.AsyncClient) -> None:
    check_refusal(await client.post(TEXT, json={}), "prompt", MISSING)


def check_refusal(response: httpx.Response, param: str | None, expected: tuple[int, str]) -> None:
    error = check_envelope(response)
    assert (response.status_code, error["code"], error["param"]) == (*expected, param)
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert f"`{param}`" in error["message"]


async def test_a_validation_error_lists_its_problems(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json={"temperature": -1, "prompt": "x" * 1000})
    assert response.status_code == 400
    detail = response.json()["detail"]
    assert [p["loc"] for p in detail] == [["body", "temperature"], ["body", "messages"]]
    assert [p["type"] for p in detail] == ["greater_than_equal", "missing"]
    assert detail[0]["input"] == -1
    assert "input" not in detail[1], "a long body is not sent back"


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        (CHAT, "functions", [{"name": "f"}]),
        (CHAT, "modalities", ["text", "audio"]),
        (CHAT, "audio", {"voice": "alba"}),
        (CHAT, "reasoning_effort", "high"),
        (CHAT, "store", True),
        (CHAT, "prediction", {"type": "content", "content": "x"}),
        (TEXT, "best_of", 3),
    ],
)
async def test_known_fields_that_cannot_be_honoured(
    client: httpx.AsyncClient, path: str, field: str, value: object
) -> None:
    body = {"messages": QUESTION} if path == CHAT else {"prompt": "x"}
    response = await client.post(path, json=body | {field: value})
    error = check_envelope(response)
    assert response.status_code == 400
    assert (error["param"], error["code"]) == (field, "unsupported_parameter")
    assert "not available in this version" in error["message"]


async def test_a_body_that_announces_too_much(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json={"messages": QUESTION, "user": "x" * 20_000})
    assert response.status_code == 413
    assert check_envelope(response)["code"] == "request_too_large"
    assert "20000 bytes" in response.json()["error"]["message"]


async def test_a_body_that_turns_out_too_large(client: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"user": "'
        for _ in range(30):
            yield b"x" * 1000
        yield b'"}'

    response = await client.post(
        CHAT, content=parts(), headers={"content-type": "application/json"}
    )
    assert response.status_code == 413
    check_envelope(response)


async def test_a_prompt_larger_than_a_message(client: httpx.AsyncClient) -> None:
    response = await client.post(TEXT, json={"prompt": "x" * 15_000})
    assert response.status_code == 413
    assert check_envelope(response)["code"] == "request_too_large"


async def test_another_content_type(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, content=json.dumps({"messages": QUESTION}))
    assert response.status_code == 415
    assert "Content-Type: application/json" in check_envelope(response)["message"]


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/chat/completions/"])
async def test_unknown_paths(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json={})
    assert response.status_code == 404
    assert check_envelope(response)["code"] == "not_found"


async def test_unknown_methods(client: httpx.AsyncClient) -> None:
    response = await client.get(CHAT)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert check_envelope(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/nothing", "/api/nothing"])
async def test_paths_outside_of_v1_have_a_plain_detail(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert response.json() == {"detail": f"There is no `GET {path}` here; see /docs."}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", CHAT, {"messages": QUESTION}),
        ("POST", CHAT, {"messages": QUESTION, "stream": True}),
        ("POST", TEXT, {"prompt": ["a", "b"]}),
        ("POST", TEXT, {"prompt": ["a", "b"], "stream": True}),
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/a/b", None),
    ],
)
async def test_an_unreachable_core(
    client: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    response = await client.request(method, path, json=body)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    error = check_envelope(response)
    assert error["code"] == "service_unavailable"
    assert NOWHERE not in error["message"]


@pytest.mark.parametrize("path", ["/", "/ready"])
async def test_an_unreachable_core_outside_of_v1(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert list(response.json()) == ["detail"]


async def test_health_needs_no_core(client: httpx.AsyncClient) -> None:
    response = await client.get("/health")
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"status", "timestamp", "version", "uptime"}
    assert body["status"] == "healthy"
    assert body["uptime"] >= 0


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/playground", 200), ("/docs", 200), (CHAT, 405), ("/nowhere", 404)],
)
async def test_head_is_get_without_a_body(
    client: httpx.AsyncClient, path: str, status: int
) -> None:
    asked, got = await client.head(path), await client.get(path)
    assert (asked.status_code, got.status_code) == (status, status)
    assert asked.content == b""
    assert asked.headers["content-type"] == got.headers["content-type"]
    assert asked.headers["x-request-id"]
    # The connection is still good for another request.
    assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("my-id.1:2_3", True),
        ("-x", False),
        ("a" * 128, True),
        ("a" * 129, False),
        ("with space", False),
        ("é", False),
    ],
)
async def test_request_ids(client: httpx.AsyncClient, sent: str, kept: bool) -> None:
    response = await client.get(
        "/health", headers=httpx.Headers({"x-request-id": sent}, encoding="utf-8")
    )
    assert (response.headers["x-request-id"] == sent) is kept
    assert response.headers["x-request-id"]


async def test_bugs_are_a_plain_500() -> None:
    app = create_app(FacadeOptions(core_address=NOWHERE))

    @app.get("/v1/bug")
    async def bug() -> None:
        raise RuntimeError("secret")

    async with facade_server(app) as url, httpx.AsyncClient(base_url=url) as client:
        response = await client.get("/v1/bug", headers={"x-request-id": "me"})
        assert response.status_code == 500
        assert check_envelope(response)["code"] == "server_error"
        assert "secret" not in response.text
        assert response.headers["x-request-id"] == "me"
        assert (await client.get("/health")).status_code == 200, "the server survives"


async def test_routes_of_the_application_come_before_those_of_the_facade() -> None:
    app = create_app(FacadeOptions(core_address=NOWHERE))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models/special")
    async def special() -> dict[str, str]:
        return {"special": "yes"}

    async with facade_server(app) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        assert (await client.get("/v1/models/special")).json() == {"special": "yes"}
        assert (await client.get("/v1/models")).status_code == 503


@pytest.mark.parametrize(
    ("name", "value"), [("core_address", ""), ("keepalive_seconds", 0), ("max_body_bytes", -1)]
)
async def test_options_are_checked(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        FacadeOptions(**{"core_address": "x:1"} | {name: value})
