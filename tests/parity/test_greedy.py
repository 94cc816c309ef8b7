"""Greedy continuations of the embedded model, as transformers generates them."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from sterna_service.engine import _native
from tests.parity.compare import FLIPPED_LOGITS
from tests.parity.driver import collect, make_request, open_engine
from tests.parity.fixtures import EMBEDDED, EMBEDDED_NAME, Workbench
from tests.parity.numpy_model import NumpyModel

STOP_TOKENS = (1, 2)
MAX_TOKENS = 48


def differences(workbench: Workbench, answers: list[list[int]]) -> list[str]:
    """One line per continuation that differs; the lead says whether rounding can explain it."""
    golden = workbench.golden(EMBEDDED_NAME)
    lines = []
    for index, answer in enumerate(answers):
        expected = [
            i for i in golden.values[f"greedy/{index}/ids"].tolist() if i not in STOP_TOKENS
        ]
        if answer == expected:
            continue
        gaps = golden.values[f"greedy/{index}/gaps"]
        pairs = enumerate(zip(answer, expected, strict=False))
        first = next((i for i, (a, b) in pairs if a != b), min(len(answer), len(expected)))
        lines.append(f"prompt {index}: token {first}, where the best led by {gaps[first]:.3f}")
        assert gaps[first] <= FLIPPED_LOGITS, lines[-1]
    return lines


@pytest.fixture
def prompts(workbench: Workbench) -> list[list[int]]:
    golden = workbench.golden(EMBEDDED_NAME)
    count = len(golden.meta["greedy"])
    return [golden.values[f"greedy/{index}/prompt"].tolist() for index in range(count)]


def test_engine_continues_as_transformers(workbench: Workbench, prompts: list[list[int]]) -> None:
    with open_engine(workbench.model(EMBEDDED_NAME), max_batch=8) as engine:
        requests = [
            make_request(index + 1, prompt, max_tokens=MAX_TOKENS, stop_tokens=list(STOP_TOKENS))
            for index, prompt in enumerate(prompts)
        ]
        results = collect(engine, requests)
    answers = [results[request.id].tokens.get(0, []) for request in requests]
    different = differences(workbench, answers)
    assert len(different) <= 0.1 * len(prompts), different
    tokenizer = Tokenizer.from_file(str(EMBEDDED / "tokenizer.json"))
    texts = [entry["text"] for entry in workbench.golden(EMBEDDED_NAME).meta["greedy"]]
    equal = sum(tokenizer.decode(a) == text for a, text in zip(answers, texts, strict=True))
    assert equal >= 0.9 * len(prompts)
    for answer, request in zip(answers, requests, strict=True):
        reached_limit = len(answer) == MAX_TOKENS
        finish = _native.FinishReason.LENGTH if reached_limit else _native.FinishReason.STOP
        assert results[request.id].finish[0] == finish


def test_numpy_model_continues_as_transformers(
    workbench: Workbench, prompts: list[list[int]]
) -> None:
    """It computes every position anew for each token, so only the first prompts are tried."""
    model = NumpyModel(workbench.checkpoint(EMBEDDED_NAME))
    answers = [model.greedy(prompt, MAX_TOKENS, frozenset(STOP_TOKENS)) for prompt in prompts[:5]]
    different = differences(workbench, answers)
    assert len(different) <= 1, different
