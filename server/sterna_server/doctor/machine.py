"""Checks of the machine: versions, processor, memory, disk, limits."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from sterna_server import versions
from sterna_server.doctor.finding import Finding, error, ok, warning
from sterna_server.listing import size_text
from sterna_server.settings import Settings

GIBIBYTE = 1024**3
_LEAST_FREE_DISK = GIBIBYTE
# Each client takes a descriptor in the façade and one in the core.
_LEAST_FILES = 4096


def check_versions() -> Iterator[Finding]:
    """What is installed."""
    server, client = versions.server_version(), versions.client_version()
    python = platform.python_version()
    facts = {"server": server, "client": client, "python": python, "platform": sys.platform}
    message = f"sterna-server {server}, sterna {client}, Python {python}"
    if server != client:
        yield warning(
            "versions",
            f"{message}: server and client differ",
            'install both together: pip install "sterna[server]"',
            **facts,
        )
    else:
        yield ok("versions", message, **facts)


def check_processor(settings: Settings) -> Iterator[Finding]:
    """Which kernels the engine takes, and how many threads."""
    from sterna_service.engine.host import inspect_host

    try:
        host = inspect_host()
    except ImportError as problem:
        yield error(
            "engine",
            f"the engine's extension cannot be loaded ({problem})",
            "install sterna-server anew; from a checkout: make native",
        )
        return
    forced = os.environ.get("STERNA_KERNELS", "")
    if forced and forced not in host.kernels:
        yield error(
            "kernels",
            f"STERNA_KERNELS is {forced}, which this processor cannot run",
            f"unset it, or choose of {', '.join(host.kernels)}",
            available=host.kernels,
        )
    else:
        chosen = forced or host.kernels[0]
        facts = {"chosen": chosen, "available": host.kernels}
        if chosen == "reference":
            yield warning(
                "kernels",
                "plain loops: this processor has no instruction set that the engine knows",
                "expect a hundredth of the usual speed; x86-64 with AVX2 or 64-bit Arm is better",
                **facts,
            )
        else:
            yield ok("kernels", f"{chosen}, of {', '.join(host.kernels)}", **facts)
    yield _threads(settings.threads, host.threads)


def _threads(wanted: int, allowed: int) -> Finding:
    present = os.cpu_count() or allowed
    facts = {"allowed": allowed, "processors": present, "setting": wanted}
    if wanted > allowed:
        return warning(
            "threads",
            f"threads is {wanted}, but the control group and the affinity mask allow {allowed}",
            f"set threads to 0 or to at most {allowed}; more of them slow each other down",
            **facts,
        )
    used = wanted or allowed
    return ok("threads", f"{used} of {present} processors, {allowed} allowed", **facts)


def check_memory(settings: Settings, weights: int) -> Iterator[Finding]:
    """Whether the model fits. `weights` are the bytes of its files."""
    from sterna_service.telemetry.host import memory

    now = memory()
    limit = now.limit or now.host_total
    facts = {
        "available": now.host_available,
        "total": now.host_total,
        "limit": now.limit,
        "weights": weights,
    }
    room = min(limit, now.host_available) if limit else now.host_available
    message = f"{size_text(room)} available" + (
        f", limit of the control group {size_text(now.limit)}" if now.limit else ""
    )
    if not room:
        yield warning("memory", "the system does not tell how much there is", "", **facts)
    elif weights > room:
        yield error(
            "memory",
            f"{message}; the weights alone take {size_text(weights)}",
            "choose a smaller model, or give the server more memory",
            **facts,
        )
    elif settings.model_memory and weights > settings.model_memory:
        yield error(
            "memory",
            f"model_memory is {size_text(settings.model_memory)}; the weights alone take "
            f"{size_text(weights)}",
            "raise model_memory",
            **facts,
        )
    else:
        yield ok("memory", message, **facts)


def check_disk(home: Path) -> Iterator[Finding]:
    """Whether the home directory can be written, and has room."""
    home = home.expanduser()
    place = home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    facts = {"home": str(home), "free": free}
    if not os.access(place, os.W_OK | os.X_OK):
        yield warning(
            "disk",
            f"{home} cannot be written: packed models are made anew at every start, and "
            "conversations are kept in memory only",
            "give the user of the server the right to write, or choose another home",
            **facts,
        )
    elif free < _LEAST_FREE_DISK:
        yield warning(
            "disk",
            f"only {size_text(free) if free else 'no bytes'} are free at {home}",
            "free some space: packed models and the database live there",
            **facts,
        )
    else:
        yield ok("disk", f"{size_text(free)} free at {home}", **facts)


def check_files() -> Iterator[Finding]:
    """How many connections the process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    facts = {"soft": soft, "hard": hard}
    if 0 <= soft < _LEAST_FILES:
        yield warning(
            "open files",
            f"the process may open {soft} files, and each client takes two",
            f"raise the limit: ulimit -n {_LEAST_FILES}, or LimitNOFILE= of the systemd unit",
            **facts,
        )
    else:
        yield ok("open files", f"up to {soft}" if soft >= 0 else "no limit", **facts)
