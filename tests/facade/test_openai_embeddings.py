"""Embeddings and similarities through the official `openai` package, against the real core."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from sterna_rest.app import FacadeOptions, create_app
from tests.facade.conftest import Live
from tests.support.facade_server import facade_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"
TEXTS = [
    "The capital of France is Paris.",
    "The capital of Italy is Rome.",
    "My dog likes to sleep in the sun.",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        yield client


async def embed(api: openai.AsyncOpenAI, input: Any, **fields: Any) -> list[list[float]]:
    """The vectors; the client itself asks for base64 unless `fields` say otherwise."""
    answer = await api.embeddings.create(model=MODEL, input=input, **fields)
    assert answer.object == "list"
    assert answer.model == MODEL
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    assert {item.object for item in answer.data} == {"embedding"}
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    return [item.embedding for item in answer.data]


async def tokens(http: httpx.AsyncClient, text: str) -> list[int]:
    found: list[int] = (await http.post("/tokenize", json={"prompt": text})).json()["tokens"]
    return found


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_every_text_gets_a_vector_of_length_one(api: openai.AsyncOpenAI) -> None:
    found = await embed(api, TEXTS)
    assert len(found) == 3
    for vector in found:
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)
    assert cosine(found[0], found[1]) > cosine(found[0], found[2])
    assert await embed(api, TEXTS[1]) == [found[1]]


async def test_numbers_and_base64_say_the_same(
    api: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    numbers = await embed(api, TEXTS, encoding_format="float")
    assert numbers == await embed(api, TEXTS)
    body = {"input": TEXTS[0], "encoding_format": "base64"}
    raw = (await http.post("/v1/embeddings", json=body)).json()["data"][0]["embedding"]
    data = base64.b64decode(raw, validate=True)
    assert list(struct.unpack(f"<{len(data) // 4}f", data)) == numbers[0]
    plain = (await http.post("/v1/embeddings", json={"input": TEXTS[0]})).json()
    assert plain["data"][0]["embedding"] == numbers[0]


async def test_token_ids_and_their_text_are_the_same(
    api: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    ids = [await tokens(http, text) for text in TEXTS]
    expected = await embed(api, TEXTS)
    assert await embed(api, ids[0]) == expected[:1]
    assert await embed(api, ids) == expected
    assert await embed(api, [ids[0]]) == expected[:1]


async def test_usage_counts_every_input(api: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    answer = await api.embeddings.create(model="", input=TEXTS, user="somebody")
    assert answer.usage.prompt_tokens == sum([len(await tokens(http, text)) for text in TEXTS])


async def test_fewer_dimensions_are_the_first_ones(api: openai.AsyncOpenAI) -> None:
    (whole,) = await embed(api, TEXTS[0])
    (part,) = await embed(api, TEXTS[0], dimensions=8)
    length = math.hypot(*whole[:8])
    assert part == pytest.approx([value / length for value in whole[:8]], abs=1e-5)
    assert await embed(api, TEXTS[0], dimensions=len(whole)) == [whole]


async def test_the_model_that_answered_is_named(http: httpx.AsyncClient) -> None:
    for path, body in (
        ("/v1/embeddings", {"input": "a"}),
        ("/v1/similarities", {"sentences": ["a"]}),
        ("/api/embeddings", {"input": "a"}),
    ):
        for name in ("tern-nano", "", None):
            answer = await http.post(path, json=body | {"model": name})
            assert answer.json()["model"] == MODEL


async def test_more_inputs_than_one_call_takes(api: openai.AsyncOpenAI) -> None:
    texts = [f"Number {index}" for index in range(600)]
    found = await embed(api, texts)
    assert len({tuple(vector) for vector in found}) == 600
    some = [0, 255, 256, 511, 512, 599]
    assert await embed(api, [texts[i] for i in some]) == [found[i] for i in some]


async def test_more_text_than_one_call_takes(live: Live, http: httpx.AsyncClient) -> None:
    body = {"input": [f"{index} is a number. " * 20 for index in range(12)]}
    options = FacadeOptions(core_address=live.core_address, max_message_bytes=2500)
    async with (
        facade_server(create_app(options)) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        answer = await client.post("/v1/embeddings", json=body)
        assert answer.json() == (await http.post("/v1/embeddings", json=body)).json()
        fields: list[tuple[str, dict[str, Any]]] = [
            ("input[1]", {"input": ["a", "a" * 3000]}),
            ("input", {"input": "a" * 3000}),
            ("model", {"input": "a", "model": "a" * 3000}),
        ]
        for param, large in fields:
            refused = await client.post("/v1/embeddings", json=large)
            assert (refused.status_code, refused.json()["error"]["param"]) == (413, param)
        refused = await client.post("/v1/similarities", json={"sentences": ["a" * 3000]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (413, "sentences")
        refused = await client.post("/api/embeddings", json={"input": "a" * 3000})
        assert refused.status_code == 413
        assert "`input`" in refused.json()["detail"]


async def test_similarities(api: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/similarities", json={"sentences": TEXTS, "model": MODEL})
    body = answer.json()
    assert body.keys() == {"similarities", "model", "shape"}
    assert body["shape"] == [3, 3]
    found = await embed(api, TEXTS)
    for i, row in enumerate(body["similarities"]):
        assert row == pytest.approx([cosine(found[i], other) for other in found], abs=1e-5)
        assert row[i] == 1


async def test_the_embedding_of_the_other_api(
    api: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    answer = await http.post("/api/embeddings", json={"model": MODEL, "input": TEXTS[0]})
    (vector,) = await embed(api, TEXTS[0])
    assert answer.json() == {"embedding": vector, "model": MODEL}


async def test_prompts_and_truncation(http: httpx.AsyncClient) -> None:
    body = {"input": "word " * 3000, "truncate": True, "prompt_name": "document"}
    answer = (await http.post("/v1/embeddings", json=body)).json()
    assert answer["usage"]["prompt_tokens"] == 1024
    wrong = await http.post("/v1/embeddings", json={"input": "a", "prompt_name": "poem"})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "prompt_name"
    compared = {"sentences": ["a", "b"], "prompt_name": "query"}
    assert (await http.post("/v1/similarities", json=compared)).status_code == 200


async def test_models_say_what_they_can_do(http: httpx.AsyncClient) -> None:
    (model, *_) = (await http.get("/v1/models")).json()["data"]
    assert {"completion", "chat", "embedding"} <= {*model["capabilities"]}
    assert model["default_for"] == ["completion", "embedding"]


async def test_unknown_fields_are_named(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/embeddings", json={"input": "a", "normalize": True})
    assert answer.status_code == 200
    assert answer.headers["x-ignored-params"] == "normalize"


LONG = "word " * 3000
SHAPE, MISSING, VALUE = "invalid_type", "missing_required_parameter", "invalid_value"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, MISSING, "input"),
        ({"input": None}, 400, SHAPE, "input"),
        ({"input": 7}, 400, SHAPE, "input"),
        ({"input": {"text": "a"}}, 400, SHAPE, "input"),
        ({"input": [True]}, 400, SHAPE, "input"),
        ({"input": ["a", 1]}, 400, SHAPE, "input[1]"),
        ({"input": [[1], [2, "a"]]}, 400, SHAPE, "input[1][1]"),
        ({"input": ""}, 422, VALUE, "input"),
        ({"input": []}, 422, VALUE, "input"),
        ({"input": [[]]}, 422, VALUE, "input[0]"),
        ({"input": ["a", ""]}, 422, VALUE, "input[1]"),
        ({"input": ["a"] * 2049}, 422, VALUE, "input"),
        ({"input": [1, -1]}, 422, VALUE, "input[1]"),
        ({"input": [1, 99_999]}, 422, VALUE, "input[1]"),
        ({"input": [[1], [1, 99_999]]}, 422, VALUE, "input[1][1]"),
        ({"input": LONG}, 400, "context_length_exceeded", "input"),
        ({"input": ["a"] * 300 + [LONG]}, 400, "context_length_exceeded", "input[300]"),
        ({"input": "a", "model": "nobody"}, 404, "model_not_found", "model"),
        ({"input": "a", "model": 1}, 400, SHAPE, "model"),
        ({"input": "a", "encoding_format": "hex"}, 422, VALUE, "encoding_format"),
        ({"input": "a", "dimensions": 0}, 422, VALUE, "dimensions"),
        ({"input": "a", "dimensions": 8.5}, 400, SHAPE, "dimensions"),
        ({"input": "a", "dimensions": 10**6}, 422, VALUE, "dimensions"),
        ({"input": "a", "user": 1}, 400, SHAPE, "user"),
    ],
)
async def test_refused_embeddings(
    http: httpx.AsyncClient, body: Any, status: int, code: str, param: str
) -> None:
    answer = await http.post("/v1/embeddings", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), error
    assert f"`{param}`" in error["message"] or code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, MISSING, "sentences"),
        ({"sentences": "a"}, 400, SHAPE, "sentences"),
        ({"sentences": []}, 422, VALUE, "sentences"),
        ({"sentences": ["a"] * 1001}, 422, VALUE, "sentences"),
        ({"sentences": ["a", ""]}, 422, VALUE, "sentences[1]"),
        ({"sentences": ["a", LONG]}, 400, "context_length_exceeded", "sentences[1]"),
        ({"sentences": ["a"], "model": "nobody"}, 404, "model_not_found", "model"),
    ],
)
async def test_refused_similarities(
    http: httpx.AsyncClient, body: Any, status: int, code: str, param: str
) -> None:
    answer = await http.post("/v1/similarities", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), error


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 400, "`input` is required"),
        ({"input": ["a"]}, 400, "`input`"),
        ({"input": ""}, 422, "`input`"),
        ({"input": LONG}, 400, "`input` has"),
        ({"input": "a", "model": "nobody"}, 404, "nobody"),
    ],
)
async def test_refused_by_the_other_api(
    http: httpx.AsyncClient, body: Any, status: int, says: str
) -> None:
    answer = await http.post("/api/embeddings", json=body)
    assert answer.status_code == status
    assert answer.json().keys() == {"detail"}
    assert says in answer.json()["detail"]
