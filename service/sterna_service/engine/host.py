"""What the engine can use on this machine, without loading a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """`kernels` are the instruction sets that this processor can run, best first."""

    kernels: tuple[str, ...]
    threads: int
    """How many threads the process may use: the cgroup's quota and the affinity mask allow them."""


def inspect_host() -> Host:
    """Asks the extension.

    Raises:
        ImportError: The extension was not built.
    """
    from sterna_service.engine import _native

    return Host(kernels=tuple(_native.kernel_names()), threads=_native.cpu_budget())
