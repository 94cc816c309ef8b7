"""Whatever the OpenAPI document allows, and much that it does not: the server never fails by a bug,
and never answers what the document does not say. Requests are made by schemathesis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sterna_rest.app import FacadeOptions, create_app
from tests.support.server_process import ServerProcess

# Of each operation, besides the examples of the document and the bounds of every field.
EXAMPLES = 6
PATIENCE = 30

# Nothing outside of this machine is asked, and no answer takes long.
NOWHERE = "http://127.0.0.1:9"
OUTSIDE = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "STERNA_HUB_ENDPOINT": NOWHERE}
ARGUMENTS = ["--port", "0", "--grpc-port", "0", "--threads", "1", "--request-timeout", "0.1"]


def document(*, ollama: bool) -> dict[str, Any]:
    """What such a listener says of itself."""
    return create_app(FacadeOptions(core_address="127.0.0.1:9", ollama=ollama)).openapi()


def bounded() -> schemathesis.Config:
    """The same requests each time."""
    return schemathesis.Config.from_dict({"seed": 1, "generation": {"database": "none"}})


DOCUMENTS = {ollama: document(ollama=ollama) for ollama in (False, True)}
SCHEMA = schemathesis.openapi.from_dict(DOCUMENTS[False], config=bounded())
# Everything else is the same there.
OLLAMA = schemathesis.openapi.from_dict(DOCUMENTS[True], config=bounded()).include(
    path_regex="^/api/"
)

Case = schemathesis.Case[Any]

limits = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[ServerProcess]:
    arguments = ["serve", *ARGUMENTS, "--listen", "127.0.0.1:0,ollama"]
    with ServerProcess(arguments, home=home, **OUTSIDE) as process:
        yield process
        assert "Traceback" not in process.output


@pytest.fixture(scope="module")
def ollama_url(server: ServerProcess) -> str:
    (url,) = re.findall(r"^ +(http://[0-9.:]+)$", server.output, re.MULTILINE)
    return str(url)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


def no_bug(
    context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: Case,
) -> bool | None:
    """Refusals such as 501 and 503 are documented; a 500 is a bug."""
    assert response.status_code != 500, response.content
    return None


CHECKS: Any = [
    no_bug,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_the_server_says_what_is_tested(server: ServerProcess, ollama_url: str) -> None:
    for url, ollama in ((server.rest_url, False), (ollama_url, True)):
        assert httpx.get(f"{url}/openapi.json").json() == DOCUMENTS[ollama]


@SCHEMA.parametrize()
@limits
def test_every_operation(case: Case, server: ServerProcess, session: requests.Session) -> None:
    case.call_and_validate(server.rest_url, session=session, checks=CHECKS, timeout=PATIENCE)


@OLLAMA.parametrize()
@limits
def test_every_operation_of_ollama(case: Case, ollama_url: str, session: requests.Session) -> None:
    case.call_and_validate(ollama_url, session=session, checks=CHECKS, timeout=PATIENCE)
