"""Further families: answers do not depend on batch, threads, chunks or cache."""

from __future__ import annotations

from typing import Any

import pytest

from tests.parity.driver import collect, make_request, open_engine
from tests.parity.fixtures import Workbench

# Scales by groups and ternary tables; norms inside the linears; two sets of rotary factors.
NAMES = ("qwen3-groups", "qwen3-groups-untied", "qwen3-embedding", "llama-groups")

ALONE: dict[str, Any] = {
    "threads": 1,
    "max_batch": 1,
    "max_batch_tokens": 16,
    "prefix_cache": False,
    "speculation": "off",
}


def answers(workbench: Workbench, name: str, **settings: Any) -> list[tuple[Any, ...]]:
    tokens = workbench.golden(name).values["logits/0/tokens"].tolist()
    requests = [
        make_request(
            number,
            tokens[: 5 + 6 * number],
            max_tokens=4 + 3 * number,
            temperature=0.7,
            seed=number,
            top_logprobs=0,
        )
        for number in range(1, 6)
    ]
    with open_engine(workbench.model(name), **settings) as engine:
        results = collect(engine, requests)
    return [results[request.id].answer for request in requests]


@pytest.mark.parametrize("name", NAMES)
def test_answers_depend_on_the_request_only(workbench: Workbench, name: str) -> None:
    expected = answers(workbench, name, **ALONE)
    for settings in (
        {"threads": 1},
        {"threads": 3, "max_batch": 4},
        {"threads": 2, "max_batch_tokens": 17},
        {"threads": 2, "speculation": "always"},
    ):
        assert answers(workbench, name, **settings) == expected, settings
