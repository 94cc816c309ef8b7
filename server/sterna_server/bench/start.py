"""From nothing to the first token: a bundle opened in a new process, again and again.

Run as a program it is that process: `python -m sterna_server.bench.start BUNDLE THREADS` answers
one token and prints the times as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sterna_service.engine.trial import Trial
from sterna_service.engine.types import EngineOptions


@dataclass(frozen=True, slots=True)
class Start:
    """One start, with the bundle in the page cache. Memory includes mapped pages that were read."""

    open_ms: float
    """Mapping the bundle, making the engine and starting its threads."""
    first_token_ms: float
    """From the request to its first token."""
    total_ms: float
    """Both; the interpreter's own start is not part of it."""
    peak_memory_mb: float
    weights_mb: float


def measure_start(bundle: Path, threads: int, rounds: int) -> list[Start]:
    """Starts in new processes, after one that brings the bundle into the page cache."""
    command = [sys.executable, "-m", "sterna_server.bench.start", str(bundle), str(threads)]
    outputs = [
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        for _ in range(rounds + 1)
    ]
    return [Start(**json.loads(output)) for output in outputs[1:]]


def medians(starts: list[Start]) -> Start:
    return Start(
        **{
            field.name: statistics.median(getattr(start, field.name) for start in starts)
            for field in fields(Start)
        }
    )


def _start(bundle: Path, threads: int) -> Start:
    begin = time.perf_counter()
    with Trial.open(bundle, EngineOptions(threads=threads, max_batch=1)) as trial:
        opened = time.perf_counter()
        first_token = trial.run([[1]], 1).first_token
        weights = trial.weight_bytes
    return Start(
        open_ms=1e3 * (opened - begin),
        first_token_ms=1e3 * first_token,
        total_ms=1e3 * (opened - begin + first_token),
        peak_memory_mb=_peak_memory() / 1e6,
        weights_mb=weights / 1e6,
    )


def _peak_memory() -> float:
    """Bytes. Not getrusage: what it says of a new process begins with its parent's peak."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(asdict(_start(Path(sys.argv[1]), int(sys.argv[2])))))
