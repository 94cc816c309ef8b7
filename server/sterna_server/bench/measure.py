"""The measurements: rounds of equal work, in which the settings to compare take turns."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sterna_server.bench.plan import DECODE_PROMPT, LONGEST_LEAD, Plan
from sterna_service.engine.trial import Trial
from sterna_service.engine.types import EngineOptions

Prompts = list[list[int]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the result: a value for each round."""

    what: str
    unit: str
    threads: int
    streams: int
    variant: str
    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


class PromptMaker:
    """Prompts of one vocabulary. What is fresh differs from all that was made before."""

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._numbers = itertools.count(1)

    def fresh(self, length: int) -> list[int]:
        begin = 7919 * next(self._numbers)
        return [(begin + 31 * place) % self._vocab_size for place in range(length)]


def measure_decode(bundle: Path, plan: Plan, threads: int) -> Iterator[Figure]:
    """One stream: tokens per second after the first token."""
    yield from _decode(
        bundle, plan, threads, "decode", 1, prompt=DECODE_PROMPT, generate=plan.generate
    )


def measure_batched(bundle: Path, plan: Plan, threads: int, streams: int) -> Iterator[Figure]:
    """Several streams: tokens per second of all of them, while all of them decode."""
    yield from _decode(
        bundle,
        plan,
        threads,
        "batched",
        streams,
        prompt=plan.batched_prompt,
        generate=plan.batched_generate,
    )


def _decode(
    bundle: Path, plan: Plan, threads: int, what: str, streams: int, *, prompt: int, generate: int
) -> Iterator[Figure]:
    # The same prompts in every round, so that all but the first find them in the prefix cache.
    # While the last prompts are computed the first streams decode already: they get tokens more,
    # so that every stream is at work while the rate is taken.
    lead = -(-streams * prompt // EngineOptions().max_batch_tokens) if streams > 1 else 0
    tokens = generate + min(lead, LONGEST_LEAD)
    with _open(bundle, plan, threads, streams, prompt + tokens) as trials:
        maker = PromptMaker(trials[0].vocab_size)
        prompts = [maker.fresh(prompt) for _ in range(streams)]
        rates = _rounds(
            plan.rounds, trials, lambda trial: trial.run(prompts, tokens).decoded_per_second
        )
    yield from _figures(plan, what, "tokens/s", threads, streams, rates)


def measure_prefill(bundle: Path, plan: Plan, threads: int) -> Iterator[Figure]:
    """Prompt tokens per second, up to the first token."""
    with _open(bundle, plan, threads, 1, plan.prompt + 1) as trials:
        maker = PromptMaker(trials[0].vocab_size)
        rates = _rounds(
            plan.rounds,
            trials,
            lambda trial: plan.prompt / trial.run([maker.fresh(plan.prompt)], 1).first_token,
        )
    yield from _figures(plan, "prefill", "tokens/s", threads, 1, rates)


def measure_first_token(bundle: Path, plan: Plan, threads: int) -> Iterator[Figure]:
    """Milliseconds to the first token on a warm engine: short, long, and long but cached."""
    with _open(bundle, plan, threads, 1, 2 * (plan.prefix + plan.prompt)) as trials:
        maker = PromptMaker(trials[0].vocab_size)

        def first_token(make: Callable[[], list[int]]) -> list[list[float]]:
            return _rounds(
                plan.rounds, trials, lambda trial: 1e3 * trial.run([make()], 1).first_token
            )

        shared = maker.fresh(plan.prefix)
        prompts: dict[str, Callable[[], list[int]]] = {
            "first token: prompt of 1": lambda: maker.fresh(1),
            f"first token: prompt of {plan.prompt}": lambda: maker.fresh(plan.prompt),
            f"first token: {plan.prefix} cached + 1": lambda: [*shared, *maker.fresh(1)],
        }
        for what, make in prompts.items():
            yield from _figures(plan, what, "ms", threads, 1, first_token(make))


@contextlib.contextmanager
def _open(
    bundle: Path, plan: Plan, threads: int, streams: int, tokens_per_stream: int
) -> Iterator[list[Trial]]:
    """One engine for each variant, with room for the streams."""
    with contextlib.ExitStack() as stack:
        trials = []
        for variant in plan.variants:
            # Random weights repeat themselves, so guesses about them would come true far too often.
            options = EngineOptions(
                threads=threads, max_batch=streams, max_queue=streams, speculation="off"
            )
            trial = Trial.open(bundle, variant.apply(options))
            room = streams * (tokens_per_stream + 32)
            if room > streams * 1024 or room > trial.context_length:
                trial.close()
                options = replace(options, kv_cache_tokens=max(room, trial.context_length))
                trial = Trial.open(bundle, variant.apply(options))
            trials.append(stack.enter_context(trial))
        yield trials


def _rounds(
    rounds: int, trials: Sequence[Trial], measure: Callable[[Trial], float]
) -> list[list[float]]:
    """The values of each trial, after one round that warms up caches, pages and clock."""
    values: list[list[float]] = [[] for _ in trials]
    for number in range(rounds + 1):
        for trial, mine in zip(trials, values, strict=True):
            value = measure(trial)
            if number:
                mine.append(value)
    return values


def _figures(
    plan: Plan, what: str, unit: str, threads: int, streams: int, values: list[list[float]]
) -> Iterator[Figure]:
    for variant, mine in zip(plan.variants, values, strict=True):
        yield Figure(what, unit, threads, streams, variant.name, mine)
