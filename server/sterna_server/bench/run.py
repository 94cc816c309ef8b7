"""Runs the parts of a plan, with the floors measured before and after."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from sterna_server.bench.measure import (
    Figure,
    measure_batched,
    measure_decode,
    measure_first_token,
    measure_prefill,
)
from sterna_server.bench.plan import Plan
from sterna_server.bench.result import Result
from sterna_server.bench.start import measure_start
from sterna_server.bench.subject import Subject
from sterna_server.errors import CommandError
from sterna_service.engine.floors import measure_floors
from sterna_service.engine.trial import Trial, TrialError
from sterna_service.engine.types import EngineOptions


def run_plan(subject: Subject, plan: Plan, tell: Callable[[str], None]) -> Result:
    """Measures; `tell` hears what is being done.

    Raises:
        CommandError: The engine failed.
        ModelLoadError: The bundle or a setting cannot be used.
    """
    with Trial.open(subject.bundle, EngineOptions(threads=1, max_batch=1)) as trial:
        fitting = plan.fit(trial.context_length)
        result = Result(_describe_machine(), subject.name, trial.work)
    if fitting != plan:
        tell(f"the context has {trial.context_length} tokens: measuring with shorter prompts")
        plan = fitting
    try:
        for threads in plan.threads:
            floors = measure_floors(threads)
            for figure in _figures(subject.bundle, plan, threads, tell):
                result.figures.append(figure)
            if "first-token" in plan.parts:
                tell(f"first token in new processes, {threads} threads")
                result.starts[threads] = measure_start(subject.bundle, threads, plan.rounds)
            result.floors[threads] = floors.better(measure_floors(threads))
    except TrialError as error:
        raise CommandError(f"the engine failed: {error}") from None
    return result


def _figures(
    bundle: Path, plan: Plan, threads: int, tell: Callable[[str], None]
) -> Iterator[Figure]:
    if "decode" in plan.parts:
        tell(f"decode, {threads} threads")
        yield from measure_decode(bundle, plan, threads)
    if "prefill" in plan.parts:
        tell(f"prefill, {threads} threads")
        yield from measure_prefill(bundle, plan, threads)
    if "batched" in plan.parts:
        for streams in plan.streams:
            tell(f"batched, {streams} streams, {threads} threads")
            yield from measure_batched(bundle, plan, threads, streams)
    if "first-token" in plan.parts:
        tell(f"first token, {threads} threads")
        yield from measure_first_token(bundle, plan, threads)


def _describe_machine() -> str:
    """The processor's name, how many of its cores this process may use, and how busy they are."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
                break
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} usable cores, load {os.getloadavg()[0]:.1f}"
