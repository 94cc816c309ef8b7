"""Bodies that are small to send and large to answer, or to read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sterna_rest.app import FacadeOptions, create_app
from sterna_rest.errors import ApiError
from sterna_rest.generation.fields import MAX_BIASES, MAX_LABELS, RequestModel
from sterna_rest.http.strict_json import MAX_PARTS, parse_json
from tests.support.facade_server import facade_server

COUNT = 50_000
MESSAGE = {"role": "user", "content": "Hi"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    # Nothing listens on the discard port.
    async with (
        facade_server(create_app(FacadeOptions(core_address="127.0.0.1:9"))) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        yield client


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": [1] * COUNT}, "messages[0]"),
        ("/v1/chat/completions", {"messages": [MESSAGE, *[{}] * COUNT]}, "messages[1].role"),
        ("/v1/completions", {"prompt": [1] + [""] * COUNT}, "prompt[1]"),
        ("/v1/embeddings", {"input": [-1] * COUNT}, "input[0]"),
        ("/v1/responses", {"input": [{"role": "king"}] * COUNT}, "input[0].role"),
        (
            "/v1/chat/completions",
            {"messages": [MESSAGE], "logit_bias": {f"x{n}": 1 for n in range(MAX_BIASES + 1)}},
            "logit_bias",
        ),
        (
            "/v1/chat/completions",
            {"messages": [MESSAGE], "metadata": {f"x{n}": 1 for n in range(MAX_LABELS + 1)}},
            "metadata",
        ),
    ],
)
async def test_one_problem_is_told_of_many_alike(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], param: str
) -> None:
    response = await client.post(path, json=body)
    assert response.status_code in (400, 422)
    assert response.json()["error"]["param"] == param
    assert len(response.json()["detail"]) == 1
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join([b"[]"] * MAX_PARTS) + b"]",
        b"[" + b",".join([b"{}"] * MAX_PARTS) + b"]",
        b"{" + b",".join(b'"%d":1' % n for n in range(MAX_PARTS)) + b"}",
        b"[" + b",".join([b'"\\\\"', b"[]"] * MAX_PARTS) + b"]",
    ],
)
def test_bodies_of_too_many_parts(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_json(body)
    assert caught.value.status_code == 413
    assert f"more than {MAX_PARTS} objects, lists and fields" in caught.value.message


@pytest.mark.parametrize("sign", ["[", "{", ":", '\\"[', "\\\\[", '"'])
def test_signs_in_texts_are_no_parts(sign: str) -> None:
    text = sign * (MAX_PARTS + 1)
    encoded = text.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_json(f'{{"text": "{encoded}"}}'.encode()) == {"text": text}


def test_all_lists_in_requests_end_with_their_first_problem() -> None:
    greedy = {
        f"{model.__module__}.{model.__qualname__}"
        for model in _models(RequestModel)
        for schema in _schemas(model.__pydantic_core_schema__)
        if schema.get("type") == "list"
        and schema.get("items_schema", {"type": "any"})["type"] != "any"
        and not schema.get("fail_fast")
    }
    assert not greedy, "write Items[...] in place of list[...]"


def _models(base: type[RequestModel]) -> Iterator[type[RequestModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _schemas(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for each in node.values():
            yield from _schemas(each)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from _schemas(each)
