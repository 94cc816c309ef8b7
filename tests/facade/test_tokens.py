"""`/tokenize` and `/detokenize` over real HTTP, by the embedded model's tokenizer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Täglich grüßt das 🐧"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as client:
        yield client


async def test_there_and_back(http: httpx.AsyncClient) -> None:
    body = {"prompt": TEXT, "add_special_tokens": False}
    there = (await http.post("/tokenize", json=body)).json()
    assert there["count"] == len(there["tokens"]) > 0
    assert there["max_model_len"] > there["count"]
    assert there["token_strs"] is None
    back = await http.post("/detokenize", json={"tokens": there["tokens"]})
    assert back.json() == {"prompt": TEXT}


async def test_the_text_of_each_token(http: httpx.AsyncClient) -> None:
    body = {"prompt": "one two", "add_special_tokens": False, "return_token_strs": True}
    answer = (await http.post("/tokenize", json=body)).json()
    assert "".join(answer["token_strs"]) == "one two"


async def test_a_conversation_costs_what_generation_counts(http: httpx.AsyncClient) -> None:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    tokens = (await http.post("/tokenize", json={"messages": messages})).json()
    answer = await http.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 1})
    assert tokens["count"] == answer.json()["usage"]["prompt_tokens"]


async def test_nothing_is_no_token(http: httpx.AsyncClient) -> None:
    body = {"prompt": "", "add_special_tokens": False}
    assert (await http.post("/tokenize", json=body)).json()["tokens"] == []
    assert (await http.post("/detokenize", json={"tokens": []})).json() == {"prompt": ""}


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/tokenize", {}, 400, "either prompt or messages"),
        ("/tokenize", {"prompt": "a", "messages": []}, 422, "messages"),
        ("/tokenize", {"prompt": "a", "model": "nobody"}, 404, "nobody"),
        ("/tokenize", {"messages": [{"role": "user"}]}, 400, "`messages[0].content` is required"),
        ("/detokenize", {}, 400, "`tokens` is required"),
        ("/detokenize", {"tokens": [-1]}, 422, "`tokens[0]`"),
        ("/detokenize", {"tokens": [2**31 - 1]}, 422, "`tokens"),
    ],
)
async def test_what_is_refused(
    http: httpx.AsyncClient, path: str, body: Any, status: int, says: str
) -> None:
    answer = await http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"detail"}
    assert says in answer.json()["detail"]
