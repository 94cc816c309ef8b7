"""The same answer whatever else runs: batch, threads, chunks, cache, evictions, kernels.

Everything is compared bit for bit, log-probabilities included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from sterna_service.engine import _native
from tests.parity.driver import Generation, collect, make_request, open_engine
from tests.parity.fixtures import EMBEDDED_NAME, KV_CACHE_DTYPES, REPOSITORY, Workbench

PROMPT_COUNT = 12
MAX_TOKENS = 24


@pytest.fixture
def model(workbench: Workbench) -> _native.Model:
    return workbench.model(EMBEDDED_NAME)


def long_prompt(index: int, length: int, vocab: int = 4096) -> list[int]:
    """Token ids without meaning, different for each index from the first token on."""
    return [
        4 + (7919 * index + 104729 * place + 31 * place * place) % (vocab - 4)
        for place in range(length)
    ]


def requests(**settings: Any) -> list[_native.Request]:
    """Greedy and sampled requests of many lengths, with every kind of log-probability."""
    result = []
    for index in range(PROMPT_COUNT):
        sampling: dict[str, Any] = {}
        if index % 2:
            sampling = {
                "temperature": 0.7 + 0.1 * index,
                "top_k": (0, 5, 40)[index % 3],
                "top_p": (1.0, 0.9)[index % 4 == 1],
                "min_p": (0.0, 0.02)[index % 3 == 1],
                "repetition_penalty": (1.0, 1.2)[index % 3 == 2],
                "frequency_penalty": 0.1 * (index % 3),
                "seed": 1000 + index,
            }
        result.append(
            make_request(
                index + 1,
                long_prompt(index, 1 + (17 * index) % 90),
                max_tokens=MAX_TOKENS - index % 5,
                top_logprobs=0,
                prompt_logprobs=index % 3 == 0,
                **(sampling | settings),
            )
        )
    return result


def alone(model: _native.Model, **settings: Any) -> list[Generation]:
    """Each request by itself on a single-threaded engine without a cache or guesses."""
    plain = {"threads": 1, "max_batch": 1, "prefix_cache": False, "speculation": "off"}
    with open_engine(model, **(plain | settings)) as engine:
        return [collect(engine, [request])[request.id] for request in requests()]


def together(model: _native.Model, **settings: Any) -> list[Generation]:
    """All requests at once."""
    batch = requests()
    with open_engine(model, **settings) as engine:
        results = collect(engine, batch)
        assert engine.stats().kv_blocks_used == 0
    return [results[request.id] for request in batch]


def assert_equal(actual: list[Generation], expected: list[Generation]) -> None:
    for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
        assert not one.error, f"request {index}: {one.error}"
        assert one.answer == other.answer, f"request {index} differs"


@pytest.fixture(scope="module")
def expected(workbench: Workbench) -> list[Generation]:
    generations = alone(workbench.model(EMBEDDED_NAME))
    assert all(generation.tokens for generation in generations)
    return generations


@pytest.mark.parametrize("max_batch", [2, 5, 16])
def test_batch(model: _native.Model, expected: list[Generation], max_batch: int) -> None:
    assert_equal(together(model, max_batch=max_batch), expected)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads(model: _native.Model, expected: list[Generation], threads: int) -> None:
    assert_equal(together(model, threads=threads), expected)


@pytest.mark.parametrize("max_batch_tokens", [16, 17, 33, 64, 1024])
def test_chunked_prefill(
    model: _native.Model, expected: list[Generation], max_batch_tokens: int
) -> None:
    assert_equal(together(model, max_batch_tokens=max_batch_tokens), expected)


@pytest.mark.parametrize("kv_cache_dtype", KV_CACHE_DTYPES)
def test_cache_types_and_tiles(model: _native.Model, kv_cache_dtype: str) -> None:
    """Whatever the cache holds: rows together and long rows shared answer as rows alone do."""

    def long_requests() -> list[_native.Request]:
        lengths = (700, 90, 300, 1)  # two chunks of attention and more, one, a part of one
        return [
            make_request(
                index + 1, long_prompt(index, length), max_tokens=8, prompt_logprobs=index == 2
            )
            for index, length in enumerate(lengths)
        ]

    plain: dict[str, Any] = {"attention_tiles": False, "prefix_cache": False}
    outcomes = []
    for settings in (
        {"threads": 1, "max_batch": 1, "speculation": "off"} | plain,
        {"threads": 3} | plain,
        {"threads": 1, "max_batch_tokens": 48},
        {"threads": 2},
        {"threads": 5, "speculation": "always"},
    ):
        with open_engine(model, kv_cache_dtype=kv_cache_dtype, **settings) as engine:
            results = collect(engine, long_requests())
            assert engine.stats().kv_cache_dtype == kv_cache_dtype
        outcomes.append([results[index + 1].answer for index in range(4)])
    for outcome in outcomes[1:]:
        assert outcome == outcomes[0]


def test_cache_types_differ(model: _native.Model) -> None:
    """The setting has an effect, and the cache takes less memory."""
    prompt = long_prompt(1, 300)
    sizes, logprobs = [], []
    for dtype in KV_CACHE_DTYPES:
        with open_engine(model, kv_cache_dtype=dtype, kv_cache_tokens=4096) as engine:
            request = make_request(1, prompt, max_tokens=1, prompt_logprobs=True)
            logprobs.append(collect(engine, [request])[1].prompt_logprobs)
            sizes.append(engine.stats().kv_cache_bytes)
    assert logprobs[0] != logprobs[1] != logprobs[2]
    assert sizes[1] * 2 == sizes[0]
    assert sizes[1] / 2 < sizes[2] < sizes[1] * 0.6


def test_unknown_cache_type_is_refused() -> None:
    with pytest.raises(_native.NativeError, match="f32, bf16 or int8") as caught:
        _native.EngineOptions().kv_cache_dtype = "fp8"
    assert "fp8" in str(caught.value)


def test_prefix_cache(model: _native.Model, expected: list[Generation]) -> None:
    """A second round finds the prompts in the cache, and answers the same."""
    with open_engine(model, prefix_cache=True) as engine:
        for expect_hits in (False, True):
            batch = requests()
            results = collect(engine, batch)
            assert_equal([results[request.id] for request in batch], expected)
            if expect_hits:
                # Log-probabilities of the prompt need every position computed anew.
                long_enough = [r for r in batch if len(r.prompt) > 32 and not r.prompt_logprobs]
                assert long_enough
                for request in long_enough:
                    assert results[request.id].cached_tokens >= 16


def test_prefix_cache_off(model: _native.Model, expected: list[Generation]) -> None:
    with open_engine(model, prefix_cache=False) as engine:
        for _ in range(2):
            batch = requests()
            results = collect(engine, batch)
            assert_equal([results[request.id] for request in batch], expected)
            assert all(result.cached_tokens == 0 for result in results.values())


@pytest.mark.parametrize("shared", [15, 16, 17, 31, 32, 100])
def test_shared_prefix(model: _native.Model, shared: int) -> None:
    """Prompts that part at and around a block's edge reuse only what they really share."""
    prefix = long_prompt(0, shared)
    prompts = [prefix + long_prompt(tail, 20) for tail in (1, 2, 3)]
    outcomes = []
    for cache in (False, True):
        with open_engine(model, prefix_cache=cache) as engine:
            results = [
                collect(engine, [make_request(1, prompt, max_tokens=8, top_logprobs=0)])[1]
                for prompt in prompts
            ]
        outcomes.append([result.answer for result in results])
        if cache:
            assert results[0].cached_tokens == 0
            for result in results[1:]:
                assert shared - 15 <= result.cached_tokens <= shared
    assert outcomes[0] == outcomes[1]


def test_conversation_reuses_its_answer(model: _native.Model) -> None:
    """The next turn of a chat begins with the previous prompt and answer: both are cached."""
    prompt = long_prompt(5, 40)
    with open_engine(model) as engine:
        first = collect(engine, [make_request(1, prompt, max_tokens=40)])[1]
        follow_up = prompt + first.tokens[0] + long_prompt(6, 10)
        second = collect(engine, [make_request(2, follow_up, max_tokens=8, top_logprobs=0)])[2]
    assert second.cached_tokens >= 64
    with open_engine(model, prefix_cache=False) as engine:
        plain = collect(engine, [make_request(2, follow_up, max_tokens=8, top_logprobs=0)])[2]
    assert second.answer == plain.answer


def test_cancellation_of_neighbours(model: _native.Model, expected: list[Generation]) -> None:
    """Whatever leaves the batch at whatever moment, those that stay answer the same."""
    stay = {1, 4, 5, 8, 11}
    with open_engine(model, max_batch=8) as engine:
        for shift in range(4):
            batch = requests()
            cancelled = {r.id: (r.id + shift) % 5 for r in batch if r.id not in stay}
            results = collect(engine, batch, cancel_after=cancelled)
            for request in batch:
                result = results[request.id]
                if request.id in stay:
                    assert result.answer == expected[request.id - 1].answer
                    continue
                # The engine may be some tokens ahead of the one who cancels.
                assert not result.error
                tokens = result.tokens.get(0, [])
                assert tokens == expected[request.id - 1].tokens[0][: len(tokens)]
        stats = engine.stats()
    assert stats.running == stats.waiting == stats.kv_blocks_used == 0


def test_more_work_than_cache(model: _native.Model) -> None:
    """Twelve sequences of 200 tokens in a cache for five: some wait or start over, none changes."""
    prompts = [long_prompt(index, 100) for index in range(12)]

    def batch() -> list[_native.Request]:
        return [
            make_request(index + 1, prompt, max_tokens=100, top_logprobs=0)
            for index, prompt in enumerate(prompts)
        ]

    with open_engine(model, max_batch=1, prefix_cache=False) as engine:
        expected = [collect(engine, [request])[request.id] for request in batch()]
    with open_engine(model, max_batch=12, kv_cache_tokens=1024) as engine:
        results = collect(engine, batch())
        stats = engine.stats()
    assert_equal([results[index + 1] for index in range(12)], expected)
    assert stats.kv_blocks_used == 0
    assert stats.kv_blocks_total * 16 <= 2048


def test_choices_are_requests_with_following_seeds(model: _native.Model) -> None:
    prompt = long_prompt(3, 30)
    settings = {"temperature": 0.9, "max_tokens": 12, "top_logprobs": 0}
    with open_engine(model) as engine:
        several = collect(engine, [make_request(1, prompt, choices=4, seed=7, **settings)])[1]
        for choice in range(4):
            request = make_request(10 + choice, prompt, seed=7 + choice, **settings)
            single = collect(engine, [request])[request.id]
            assert several.tokens[choice] == single.tokens[0]
            assert several.logprobs[choice] == single.logprobs[0]
    assert len({tuple(tokens) for tokens in several.tokens.values()}) > 1


def test_kernels() -> None:
    """Every instruction set of this host gives the same bits, over all formats and shapes."""
    names = _native.kernel_names()
    assert "reference" in names
    fingerprints = {}
    for name in names:
        result = subprocess.run(
            [sys.executable, "-m", "tests.parity.fingerprint"],
            cwd=REPOSITORY,
            env=os.environ | {"STERNA_KERNELS": name},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        fingerprints[name] = json.loads(result.stdout)
        assert fingerprints[name].pop("kernels") == name
    for name, fingerprint in fingerprints.items():
        assert fingerprint == fingerprints["reference"], name


def test_unknown_kernels_are_refused() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.parity.fingerprint"],
        cwd=REPOSITORY,
        env=os.environ | {"STERNA_KERNELS": "mmx"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode != 0
    assert "mmx" in result.stderr
    assert "reference" in result.stderr


@pytest.mark.parametrize("sparsity", [True, False])
def test_sparsity(model: _native.Model, expected: list[Generation], sparsity: bool) -> None:
    assert_equal(together(model, sparsity=sparsity, speculation="off"), expected)
    assert_equal(alone(model, sparsity=sparsity, speculation="off"), expected)


@pytest.mark.parametrize("drafts", [1, 5, 40])
def test_speculation(model: _native.Model, expected: list[Generation], drafts: int) -> None:
    """Most guesses about these answers are wrong."""
    assert_equal(together(model, speculation="always", max_draft_tokens=drafts), expected)


@pytest.mark.parametrize("speculation", ["auto", "always"])
def test_speculation_that_comes_true(model: _native.Model, speculation: str) -> None:
    def repetitive() -> list[_native.Request]:
        batch = requests()
        for request in batch:
            request.prompt = list(request.prompt)[:9] * 8
            request.max_tokens = 100
            request.logit_bias = [(token, 12.0) for token in range(40, 44)]
        return batch

    with open_engine(model, speculation="off") as engine:
        plain = collect(engine, repetitive())
    with open_engine(model, speculation=speculation) as engine:
        results = collect(engine, repetitive())
        stats = engine.stats()
    assert_equal(list(results.values()), [plain[id] for id in results])
    assert stats.drafted_tokens >= stats.accepted_tokens
    if speculation == "always":
        assert stats.accepted_tokens > 100
        assert stats.steps < stats.generated_tokens
