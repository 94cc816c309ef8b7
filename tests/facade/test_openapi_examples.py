"""Every operation of both OpenAPI documents has examples, and they fit the schemas beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from sterna_rest.app import FacadeOptions, create_app

DOCUMENTS: dict[bool, dict[str, Any]] = {
    ollama: create_app(FacadeOptions(core_address="127.0.0.1:9", ollama=ollama)).openapi()
    for ollama in (False, True)
}


def operations() -> Iterator[Any]:
    """Each of them once; those of Ollama's API are in its document only."""
    for ollama, document in DOCUMENTS.items():
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if not ollama or path.startswith("/api/"):
                    name = f"{method} {path}{' (ollama)' if ollama else ''}"
                    yield pytest.param(ollama, operation, id=name)


def check(ollama: bool, schema: dict[str, Any], example: object) -> None:
    """Raises when an example does not fit a schema of a document."""
    components = DOCUMENTS[ollama]["components"]
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": components})
    validator.validate(example)


@pytest.mark.parametrize(("ollama", "operation"), list(operations()))
def test_examples_of_requests(ollama: bool, operation: dict[str, Any]) -> None:
    content = operation.get("requestBody", {"content": {}})["content"]
    for kind, media in content.items():
        if kind != "application/json":
            continue  # Forms hold files.
        examples = [each["value"] for each in media.get("examples", {}).values()]
        assert examples, "no example of the body"
        for example in examples:
            check(ollama, media["schema"], example)


@pytest.mark.parametrize(("ollama", "operation"), list(operations()))
def test_examples_of_answers(ollama: bool, operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if not status.startswith("2"):
            continue
        for kind, media in response.get("content", {}).items():
            if kind == "application/json" and media.get("schema"):
                assert "example" in media, f"no example of {status}"
                check(ollama, media["schema"], media["example"])
