"""The floors of this machine: how fast memory can be read, how fast bytes can be multiplied."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("floors.cc")


CLOCKS = ("wall", "processor")


@dataclass(frozen=True)
class Floors:
    """What `threads` threads reach together, at best, by one of the clocks."""

    threads: int
    read_gb_per_s: float  # streaming reads, 10 ** 9 bytes
    int8_gmac_per_s: float  # 10 ** 9 multiply-accumulates of bytes
    instruction: str


def build_floors(directory: Path) -> Path:
    """Compiles floors.cc for this very machine, unless that was done before."""
    program = directory / "floors"
    if program.exists() and program.stat().st_mtime >= SOURCE.stat().st_mtime:
        return program
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    compiler = next((path for name in names if name and (path := shutil.which(name))), None)
    if compiler is None:
        raise SystemExit("error: no C++ compiler found; install g++ or set CXX")
    directory.mkdir(parents=True, exist_ok=True)
    flags = ["-std=c++17", "-O3", "-march=native", "-pthread"]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(program)], check=True)
    return program


def measure_floors(program: Path, threads: int, clock: str) -> Floors:
    output = subprocess.run(
        [str(program), str(threads)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    result = json.loads(output)
    return Floors(threads, **result[clock], instruction=result["instruction"])


def describe_machine() -> str:
    """The processor's name and how many of its cores this process may use."""
    name = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return f"{name}, {cores} usable cores, load {os.getloadavg()[0]:.1f}"
