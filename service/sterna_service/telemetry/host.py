"""The processor and the memory of the host, and what this process takes of them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from sterna_service.telemetry.control_group import memory_limit

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Memory:
    """In bytes; a limit of 0 means none."""

    process_resident: int
    host_total: int
    host_available: int
    limit: int


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """The memory that a process takes, from its `/proc/PID/statm`; 0 when that is not there."""
    fields = _read(statm).split()
    return int(fields[1]) * _PAGE_BYTES if len(fields) > 1 else 0


def memory() -> Memory:
    """How the memory stands now. What the system does not tell is 0."""
    facts = _fields(Path("/proc/meminfo"))
    return Memory(
        process_resident=resident_bytes(),
        host_total=facts.get("MemTotal", 0) * 1024,
        host_available=facts.get("MemAvailable", 0) * 1024,
        limit=memory_limit(),
    )


class CpuMeter:
    """Measures load between one reading and the next."""

    def __init__(self) -> None:
        self._time = time.monotonic()
        self._process = time.process_time()
        self._host = _host_ticks()

    def read(self) -> tuple[float, float]:
        """Load since the previous reading, in percent: of all the host's processors together, and
        of one processor by this process."""
        now, process, host = time.monotonic(), time.process_time(), _host_ticks()
        elapsed = max(now - self._time, 1e-6)
        process_percent = 100.0 * (process - self._process) / elapsed
        busy = host[0] - self._host[0]
        total = host[1] - self._host[1]
        host_percent = min(100.0, 100.0 * busy / total) if total > 0 else 0.0
        self._time, self._process, self._host = now, process, host
        return host_percent, process_percent


def _host_ticks() -> tuple[int, int]:
    """Ticks that the host's processors were busy, and all ticks, since it booted."""
    fields = [int(field) for field in _read(Path("/proc/stat")).partition("\n")[0].split()[1:9]]
    if len(fields) < 5:
        return 0, 0
    idle = fields[3] + fields[4]  # idle and waiting for disks
    return sum(fields) - idle, sum(fields)


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file of `Name: number unit` lines."""
    found: dict[str, int] = {}
    for line in _read(path).splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdecimal():
            found[name] = int(words[0])
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
