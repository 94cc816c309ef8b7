"""`/api/*` over real HTTP, by the real core and the embedded model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRANCE = {"role": "user", "content": "What is the capital of France?"}
SPAIN = {"role": "user", "content": "What is the capital of Spain?"}
PARIS = "The capital of France is Paris."
GREEDY = {"temperature": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        yield client


async def post(http: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def events(http: httpx.AsyncClient, path: str, **body: Any) -> list[dict[str, Any]]:
    answer = await http.post(path, json=body | {"stream": True})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.removesuffix("\n\n").split("\n\n")
    return [json.loads(block.removeprefix("data: ")) for block in blocks if block != ":"]


async def test_a_new_conversation(http: httpx.AsyncClient) -> None:
    answer = await post(http, "/api/chat", messages=[FRANCE], options=GREEDY)
    assert answer["message"] == {"role": "assistant", "content": PARIS}
    assert len(answer["session_id"]) == 36
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_a_conversation_goes_on_where_it_was(http: httpx.AsyncClient) -> None:
    first = await post(http, "/api/chat", messages=[FRANCE], options=GREEDY)
    second = await post(
        http, "/api/chat", messages=[SPAIN], session_id=first["session_id"], options=GREEDY
    )
    assert second["session_id"] == first["session_id"]
    whole = await post(
        http,
        "/v1/chat/completions",
        messages=[FRANCE, {"role": "assistant", "content": PARIS}, SPAIN],
        temperature=0,
    )
    assert second["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]
    assert second["message"]["content"] == whole["choices"][0]["message"]["content"]


async def test_a_growing_conversation_is_not_computed_again(http: httpx.AsyncClient) -> None:
    question = {"role": "user", "content": "Tell me of the arctic tern and where it flies. " * 4}
    answer = await post(http, "/api/chat", messages=[question], options={"max_tokens": 40})
    cached = []
    for _ in range(2):
        answer = await post(
            http,
            "/api/chat",
            messages=[FRANCE],
            session_id=answer["session_id"],
            options={"max_tokens": 40},
        )
        cached.append(answer["usage"]["cached_tokens"])
    assert 0 < cached[0] < cached[1]


async def test_a_stream_says_the_same(http: httpx.AsyncClient) -> None:
    told = await events(http, "/api/chat", messages=[FRANCE], options=GREEDY)
    assert all(event.keys() == {"token", "done"} for event in told[:-1])
    assert not any(event["done"] for event in told[:-1])
    assert "".join(event["token"] for event in told[:-1]) == PARIS
    last = told[-1]
    assert last == {"done": True, "session_id": last["session_id"], "full_text": PARIS}
    more = await events(
        http, "/api/chat", messages=[SPAIN], session_id=last["session_id"], options=GREEDY
    )
    assert more[-1]["session_id"] == last["session_id"]
    third = await post(http, "/api/chat", messages=[SPAIN], session_id=last["session_id"])
    # Two questions with their answers, and a third.
    assert third["usage"]["prompt_tokens"] > 3 * 10


async def test_generate(http: httpx.AsyncClient) -> None:
    options = GREEDY | {"max_tokens": 8}
    answer = await post(http, "/api/generate", prompt="The capital of", options=options)
    assert answer.keys() == {"text", "usage"}
    told = await events(http, "/api/generate", prompt="The capital of", options=options)
    assert told[-1] == {"done": True, "full_text": answer["text"]}
    plain = await post(
        http, "/v1/completions", prompt="The capital of", temperature=0, max_tokens=8
    )
    assert answer["text"] == plain["choices"][0]["text"]


async def test_options_have_their_effect(http: httpx.AsyncClient) -> None:
    body = {"messages": [FRANCE]}
    one = await post(http, "/api/chat", **body, options={"temperature": 1.5, "top_p": 0})
    assert one["message"]["content"] == PARIS
    one = await post(http, "/api/chat", **body, options={"temperature": 1.5, "top_k": 1})
    assert one["message"]["content"] == PARIS
    cut = await post(http, "/api/chat", **body, options=GREEDY | {"stop": [" is"]})
    assert cut["message"]["content"] == "The capital of France"
    other = await post(
        http, "/api/chat", **body, options=GREEDY | {"repeat_penalty": 10, "max_tokens": 12}
    )
    assert other["message"]["content"] != PARIS


async def test_models(http: httpx.AsyncClient) -> None:
    models = (await http.get("/api/models")).json()["models"]
    (nano,) = [model for model in models if model["name"] == "sterna/tern-nano"]
    assert nano["loaded"] is True
    assert nano["size_mb"] >= 1
    assert nano["context_size"] > 0
    for path in ("sterna/tern-nano", "sterna%2Ftern-nano", "tern-nano"):
        assert (await http.get(f"/api/models/{path}")).json() == nano


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/api/chat", {"messages": [FRANCE], "session_id": "nobody"}, 404, "nobody"),
        ("/api/chat", {"messages": [FRANCE], "session_id": "a b"}, 404, "no session 'a b'"),
        ("/api/chat", {"messages": [FRANCE], "model": "nobody"}, 404, "nobody"),
        ("/api/chat", {}, 400, "`messages` is required"),
        ("/api/chat", {"messages": []}, 422, "`messages`"),
        ("/api/chat", {"messages": [{"role": "tool", "content": "x"}]}, 422, "messages[0].role"),
        ("/api/generate", {"prompt": 1}, 400, "`prompt`"),
        ("/api/generate", {"prompt": "a", "options": {"temperature": 9}}, 422, "temperature"),
        (
            "/api/generate",
            {"prompt": "a", "options": {"max_tokens": 10**6}},
            400,
            "lower max_tokens",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_refused(
    http: httpx.AsyncClient, path: str, body: Any, status: int, says: str, stream: bool
) -> None:
    answer = await http.post(path, json=body | {"stream": stream})
    assert answer.status_code == status
    assert answer.json().keys() == {"detail"}
    assert says in answer.json()["detail"]


async def test_an_unknown_model(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/models/nobody")
    assert answer.status_code == 404
    assert answer.json().keys() == {"detail"}


async def test_one_request_at_a_time_in_a_session(http: httpx.AsyncClient) -> None:
    first = await post(http, "/api/chat", messages=[FRANCE], options=GREEDY)
    body = {"messages": [SPAIN], "session_id": first["session_id"]}
    answers = await asyncio.gather(*(http.post("/api/chat", json=body) for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert any(answer.status_code == 200 for answer in answers)
