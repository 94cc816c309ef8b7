"""Further families: answers do not depend on batch, threads, chunks or cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sterna_service.engine import _native
from tests.parity.driver import collect, make_request, open_engine
from tests.parity.fixtures import REPOSITORY, Workbench

# Scales by groups and ternary tables; norms inside the linears; two sets of rotary factors.
NAMES = ("qwen3-groups", "qwen3-groups-untied", "qwen3-embedding", "llama-groups")
# With one request without an adapter, one with the adapter as it is, one with a coarse one.
ADAPTED = {
    "qwen3-multiply": "qwen3",
    "qwen3-groups": "groups",
    "llama-groups": "groups-llama",
}
ADAPTERS = REPOSITORY / "tests" / "data" / "adapters" / "golden"

ALONE: dict[str, Any] = {
    "threads": 1,
    "max_batch": 1,
    "max_batch_tokens": 16,
    "prefix_cache": False,
    "speculation": "off",
}


SETTINGS: tuple[dict[str, Any], ...] = (
    {"threads": 1},
    {"threads": 3, "max_batch": 4},
    {"threads": 2, "max_batch_tokens": 17},
    {"threads": 2, "speculation": "always"},
)


def answers(
    workbench: Workbench, name: str, adapters: Sequence[_native.Adapter | None], **settings: Any
) -> list[tuple[Any, ...]]:
    tokens = workbench.golden(name).values["logits/0/tokens"].tolist()
    requests = [
        make_request(
            number,
            tokens[: 5 + 6 * number],
            max_tokens=4 + 3 * number,
            temperature=0.7,
            seed=number,
            top_logprobs=0,
            adapter=adapters[number % len(adapters)],
        )
        for number in range(1, 6)
    ]
    with open_engine(workbench.model(name), **settings) as engine:
        results = collect(engine, requests)
    return [results[request.id].answer for request in requests]


@pytest.mark.parametrize("name", NAMES)
def test_answers_depend_on_the_request_only(workbench: Workbench, name: str) -> None:
    expected = answers(workbench, name, [None], **ALONE)
    for settings in SETTINGS:
        assert answers(workbench, name, [None], **settings) == expected, settings


@pytest.mark.parametrize("name", ADAPTED)
def test_answers_with_adapters_depend_on_the_request_only(workbench: Workbench, name: str) -> None:
    model, directory = workbench.model(name), str(ADAPTERS / ADAPTED[name])
    adapters = [
        None,
        _native.Adapter.open(directory, model, "none"),
        _native.Adapter.open(directory, model, "int8"),
    ]
    expected = answers(workbench, name, adapters, **ALONE)
    assert expected != answers(workbench, name, [None], **ALONE)
    for settings in SETTINGS:
        assert answers(workbench, name, adapters, **settings) == expected, settings
