"""docs/contract-coverage.md names tests that exist, and every operation of the REST API."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from sterna_rest.app import FacadeOptions, create_app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contract-coverage.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| promise |")
]
SPAN = re.compile(r"`([^`]+)`")
OPERATION = re.compile(r"(?:GET|POST|DELETE|PUT|PATCH) /\S*")
NAMED = sorted({span for span in SPAN.findall(PAGE) if re.match(r"[a-z0-9_/]+\.py(::\w+)?$", span)})


def documented() -> set[str]:
    """The operations of both kinds of listeners."""
    found = set()
    for ollama in (False, True):
        app = create_app(FacadeOptions(core_address="127.0.0.1:9", ollama=ollama))
        for path, item in app.openapi()["paths"].items():
            found |= {f"{method.upper()} {path}" for method in item}
    return found


def names_of_tests(path: str) -> set[str]:
    """The names of the tests in a file below tests/; none if it is not there."""
    file = ROOT / "tests" / path
    if not file.is_file():
        return set()
    return {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def test_every_named_test_exists() -> None:
    missing = []
    for named in NAMED:
        path, _, name = named.partition("::")
        there = names_of_tests(path)
        if not there or (name and name not in there):
            missing.append(named)
    assert missing == []


def test_every_promise_has_a_test() -> None:
    assert len(ROWS) > 60
    for row in ROWS:
        assert len(row) == 2, row
        assert any(span in NAMED for span in SPAN.findall(row[1])), f"no test for: {row[0]}"


def test_every_operation_has_a_row() -> None:
    named = {span for row in ROWS for span in SPAN.findall(row[0]) if OPERATION.fullmatch(span)}
    assert documented() - named == set(), "operations without a row in docs/contract-coverage.md"
    assert named - documented() == set(), "rows of operations that do not exist"
