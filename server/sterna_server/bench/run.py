"""Runs the parts of a plan."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

from sterna_server.bench.measure import run_workloads, workloads
from sterna_server.bench.plan import Plan
from sterna_server.bench.result import Result
from sterna_server.bench.start import measure_start
from sterna_server.bench.subject import Subject
from sterna_server.errors import CommandError
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
        result = Result(describe_machine(), subject.name, trial.work)
    if fitting != plan:
        tell(f"the context has {trial.context_length} tokens: measuring with shorter prompts")
        plan = fitting
    try:
        for threads in plan.threads:
            for together in workloads(plan):
                first = together[0]
                tell(f"{first.what}, {first.streams} streams, {threads} threads")
                result.figures += run_workloads(subject.bundle, plan, threads, together)
            if "first-token" in plan.parts:
                tell(f"first token in new processes, {threads} threads")
                result.starts[threads] = measure_start(subject.bundle, threads, plan.rounds)
    except TrialError as error:
        raise CommandError(f"the engine failed: {error}") from None
    return result


def describe_machine() -> str:
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
