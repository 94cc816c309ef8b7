"""Sampling, penalties and log-probabilities against a plain numpy implementation."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from sterna_service.engine import _native
from tests.parity.driver import collect, make_request, open_engine
from tests.parity.fixtures import EMBEDDED_NAME, NativeModel, Workbench
from tests.parity.numpy_sampler import Array, Sampling, adjusted_logits, probabilities

SAMPLES = 1024
CHOICES = 64


@pytest.fixture
def model(workbench: Workbench) -> _native.Model:
    return workbench.model(EMBEDDED_NAME)


@pytest.fixture
def prompt(workbench: Workbench) -> list[int]:
    """A greeting that the model hardly knows: a dozen tokens may well come next."""
    tokens: list[int] = workbench.golden(EMBEDDED_NAME).values["greedy/0/prompt"].tolist()
    return tokens


def log_softmax(logits: Array) -> Array:
    exact = logits.astype(np.float64)
    highest = exact.max(axis=-1, keepdims=True)
    result: Array = exact - highest - np.log(np.exp(exact - highest).sum(axis=-1, keepdims=True))
    return result


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=2.5),
        Sampling(temperature=1.5, top_k=7),
        Sampling(temperature=2.0, top_p=0.6),
        Sampling(temperature=2.0, min_p=0.05),
        Sampling(temperature=1.7, min_p=0.01, top_k=20, top_p=0.8),
        Sampling(temperature=2.0, top_k=12, repetition_penalty=1.5),
        Sampling(temperature=1.2, top_k=4, logit_bias=[(300, 9.0), (301, 8.5), (302, -50.0)]),
    ],
    ids=str,
)
def test_frequencies(model: _native.Model, prompt: list[int], sampling: Sampling) -> None:
    """First tokens of many seeds: none that is cut off, each as often as it should be."""
    logits = NativeModel(model).logits(prompt)[-1]
    expected = probabilities(logits, sampling, prompt, [])
    with open_engine(model, kv_cache_dtype="f32", max_batch=CHOICES, max_queue=SAMPLES) as engine:
        requests = [
            make_request(
                index,
                prompt,
                choices=CHOICES,
                seed=1_000_000 + index * CHOICES,
                max_tokens=1,
                **asdict(sampling),
            )
            for index in range(SAMPLES // CHOICES)
        ]
        results = collect(engine, requests)
    counts = Counter(tokens[0] for result in results.values() for tokens in result.tokens.values())
    assert sum(counts.values()) == SAMPLES
    assert all(expected[token] > 0 for token in counts)
    for token in np.flatnonzero(expected > 0.005):
        deviation = np.sqrt(SAMPLES * expected[token] * (1 - expected[token]))
        difference = abs(counts[int(token)] - SAMPLES * expected[token])
        assert difference <= 4.5 * deviation + 1e-9, (token, counts[int(token)], expected[token])


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(repetition_penalty=2.5),
        Sampling(frequency_penalty=4.0),
        Sampling(presence_penalty=6.0),
        Sampling(repetition_penalty=0.8, frequency_penalty=0.5, presence_penalty=-0.5),
        Sampling(logit_bias=[(17, -3.0), (300, 9.0)], frequency_penalty=3.0),
    ],
    ids=str,
)
def test_penalties(model: _native.Model, prompt: list[int], sampling: Sampling) -> None:
    """Each greedy token is the best one after the penalties for what came before it."""
    settings = asdict(sampling) | {"temperature": 0.0}
    with open_engine(model, kv_cache_dtype="f32") as engine:
        output = collect(engine, [make_request(1, prompt, max_tokens=24, **settings)])[1].tokens[0]
    logits = NativeModel(model).logits(prompt + output)
    for index, token in enumerate(output):
        row = logits[len(prompt) - 1 + index]
        adjusted = adjusted_logits(row, sampling, prompt, output[:index])
        assert adjusted[token] >= adjusted.max() - 1e-5
    plain = [int(row.argmax()) for row in logits[len(prompt) - 1 : -1]]
    assert plain != output, "the penalties changed nothing, so this test shows nothing"


def test_logprobs(model: _native.Model, prompt: list[int]) -> None:
    """They are those of the raw logits, whatever the sampling does to them."""
    request = make_request(
        1,
        prompt,
        temperature=1.3,
        top_k=50,
        repetition_penalty=1.2,
        seed=5,
        max_tokens=16,
        top_logprobs=6,
        prompt_logprobs=True,
    )
    with open_engine(model, kv_cache_dtype="f32", max_batch_tokens=16) as engine:
        result = collect(engine, [request])[1]
    output = result.tokens[0]
    expected = log_softmax(NativeModel(model).logits(prompt + output))
    for index, token in enumerate(output):
        row = expected[len(prompt) - 1 + index]
        assert result.logprobs[0][index] == pytest.approx(row[token], abs=1e-5)
        top = result.top_logprobs[0][index]
        best = np.argsort(-row, kind="stable")[:6]
        assert [token for token, _ in top] == best.tolist()
        assert [value for _, value in top] == pytest.approx(row[best].tolist(), abs=1e-5)
    assert [token for token, _ in result.prompt_logprobs] == prompt
    assert result.prompt_logprobs[0][1] == 0.0
    for index in range(1, len(prompt)):
        value = result.prompt_logprobs[index][1]
        assert value == pytest.approx(expected[index - 1][prompt[index]], abs=1e-5)


def test_stop_tokens_wait_for_min_tokens(model: _native.Model, workbench: Workbench) -> None:
    golden = workbench.golden(EMBEDDED_NAME).values
    prompt = golden["greedy/2/prompt"].tolist()
    answer = [token for token in golden["greedy/2/ids"].tolist() if token not in (1, 2)]
    settings = {"max_tokens": 40, "stop_tokens": [1, 2]}
    with open_engine(model, kv_cache_dtype="f32") as engine:
        plain = collect(engine, [make_request(1, prompt, **settings)])[1]
        least = len(answer) + 5
        longer = collect(engine, [make_request(2, prompt, min_tokens=least, **settings)])[2]
    assert plain.tokens[0] == answer
    assert longer.tokens[0][: len(answer)] == answer
    assert len(longer.tokens[0]) >= least
    assert not {1, 2} & set(longer.tokens[0])
