"""The measurements: rounds of equal work, in which the settings to compare take turns."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sterna_server.bench.plan import DECODE_PROMPT, LONGEST_LEAD, Plan, Variant
from sterna_service.engine.floors import Floors, measure_floors
from sterna_service.engine.trial import Trial, Work
from sterna_service.engine.types import EngineOptions


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to measure: a round of it, and how much room it takes."""

    what: str
    unit: str
    streams: int
    tokens_per_stream: int
    measure: Callable[[Trial], float]
    """One round; the value in `unit`."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the result: a value for each round, and the machine's floors in that round."""

    what: str
    unit: str
    threads: int
    streams: int
    variant: str
    values: list[float]
    floors: list[Floors]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def rooflines(self, work: Work) -> list[float] | None:
        """The dense roofline of a rate in each round, in tokens per second; None if it has none.

        A step reads every ternary weight and the output head once, and multiplies the ternary
        weights once for each stream: the slower of the two bounds it. A prompt is bound by the
        multiplications alone. Attention, norms and the head's arithmetic are not counted.
        """
        if self.unit != "tokens/s" or not all(one.int8_macs_per_second for one in self.floors):
            return None
        return [self._roofline(work, floors) for floors in self.floors]

    def _roofline(self, work: Work, floors: Floors) -> float:
        arithmetic = work.ternary_macs / floors.int8_macs_per_second
        if self.what == "prefill":
            return 1 / arithmetic
        read = (work.ternary_bytes + work.head_bytes) / floors.read_bytes_per_second
        return self.streams / max(read, self.streams * arithmetic)

    def fraction(self, work: Work) -> float | None:
        """The median over the rounds of what was reached, as a share of the roofline."""
        rooflines = self.rooflines(work)
        if rooflines is None:
            return None
        pairs = zip(self.values, rooflines, strict=True)
        return statistics.median(value / roofline for value, roofline in pairs)


def workloads(plan: Plan) -> Iterator[list[Workload]]:
    """What the plan asks for; the workloads of one list run on the same engines."""
    if "decode" in plan.parts:
        yield [decode(plan.generate)]
    if "prefill" in plan.parts:
        yield [prefill(plan.prompt)]
    if "batched" in plan.parts:
        for streams in plan.streams:
            yield [batched(streams, plan.batched_prompt, plan.batched_generate)]
    if "first-token" in plan.parts:
        yield first_token(plan.prompt, plan.prefix)
    if "fairness" in plan.parts:
        yield [fairness(plan.fairness_streams, plan.fairness_prompt)]


def decode(tokens: int) -> Workload:
    """One stream: tokens per second after the first token."""
    return replace(batched(1, DECODE_PROMPT, tokens), what="decode")


def batched(streams: int, prompt: int, tokens: int) -> Workload:
    """Several streams: tokens per second of all of them, while all of them decode."""
    # While the last prompts are computed the first streams decode already: they get tokens more,
    # so that every stream is at work while the rate is taken.
    lead = -(-streams * prompt // EngineOptions().max_batch_tokens) if streams > 1 else 0
    tokens += min(lead, LONGEST_LEAD)

    def measure(trial: Trial) -> float:
        # The same prompts in every round: all but the first find them in the prefix cache.
        prompts = [make_prompt(trial, number, prompt) for number in range(streams)]
        return trial.run(prompts, tokens).decoded_per_second

    return Workload("batched", "tokens/s", streams, prompt + tokens, measure)


def prefill(tokens: int) -> Workload:
    """Prompt tokens per second, up to the first token."""
    numbers = itertools.count(1)

    def measure(trial: Trial) -> float:
        return tokens / trial.run([make_prompt(trial, next(numbers), tokens)], 1).first_token

    return Workload("prefill", "tokens/s", 1, tokens + 1, measure)


def first_token(prompt: int, prefix: int) -> list[Workload]:
    """Milliseconds to the first token on a warm engine: short, long, and long but cached."""
    numbers = itertools.count(1)

    def workload(what: str, make: Callable[[Trial], list[int]]) -> Workload:
        def measure(trial: Trial) -> float:
            return 1e3 * trial.run([make(trial)], 1).first_token

        return Workload(f"first token: {what}", "ms", 1, 2 * (prompt + prefix), measure)

    def fresh(length: int) -> Callable[[Trial], list[int]]:
        return lambda trial: make_prompt(trial, next(numbers), length)

    def cached(trial: Trial) -> list[int]:
        return make_prompt(trial, 0, prefix) + make_prompt(trial, next(numbers), 1)

    return [
        workload("prompt of 1", fresh(1)),
        workload(f"prompt of {prompt}", fresh(prompt)),
        workload(f"{prefix} cached + 1", cached),
    ]


def fairness(streams: int, late: int) -> Workload:
    """How much longer the streams wait for a token while a prompt that came late is computed."""
    numbers = itertools.count(streams)

    def measure(trial: Trial) -> float:
        prompts = [make_prompt(trial, number, DECODE_PROMPT) for number in range(streams)]
        gaps = trial.interrupt(prompts, make_prompt(trial, next(numbers), late), 12)
        return gaps.during / gaps.alone

    what = f"token time of {streams} streams during a prompt of {late}"
    return Workload(what, "times", streams + 1, 2 * late + 256, measure)


def make_prompt(trial: Trial, number: int, length: int) -> list[int]:
    """Token ids that differ from number to number from the first one on."""
    return [(7919 * number + 31 * place + 1) % trial.vocab_size for place in range(length)]


def run_workloads(
    bundle: Path, plan: Plan, threads: int, together: Sequence[Workload]
) -> Iterator[Figure]:
    """A figure for each workload and variant."""
    streams = max(workload.streams for workload in together)
    tokens = max(workload.tokens_per_stream for workload in together)
    with contextlib.ExitStack() as stack:
        trials = [
            stack.enter_context(open_trial(bundle, threads, variant, streams, tokens))
            for variant in plan.variants
        ]
        for workload in together:
            values, floors = _rounds(plan.rounds, threads, trials, workload.measure)
            for variant, mine in zip(plan.variants, values, strict=True):
                yield Figure(
                    what=workload.what,
                    unit=workload.unit,
                    threads=threads,
                    streams=workload.streams,
                    variant=variant.name,
                    values=mine,
                    floors=floors,
                )


def open_trial(
    bundle: Path, threads: int, variant: Variant, streams: int, tokens_per_stream: int
) -> Trial:
    """An engine with room for the streams, and for what the prefix cache keeps of them."""
    # Random weights repeat themselves, so guesses about them would come true far too often.
    options = EngineOptions(
        threads=threads, max_batch=streams, max_queue=streams, speculation="off"
    )
    room = streams * (tokens_per_stream + 32)
    if room > streams * 1024:
        options = replace(options, kv_cache_tokens=room)
    return Trial.open(bundle, variant.apply(options))


def _rounds(
    rounds: int, threads: int, trials: Sequence[Trial], measure: Callable[[Trial], float]
) -> tuple[list[list[float]], list[Floors]]:
    """The values of each trial, and the floors, after one round that warms up.

    The floors are measured in every round: on a machine that others use, too, what memory gives
    changes from one second to the next.
    """
    values: list[list[float]] = [[] for _ in trials]
    floors: list[Floors] = []
    for number in range(rounds + 1):
        before = measure_floors(threads)
        for trial, mine in zip(trials, values, strict=True):
            value = measure(trial)
            if number:
                mine.append(value)
        if number:
            floors.append(before.better(measure_floors(threads)))
    return values, floors
