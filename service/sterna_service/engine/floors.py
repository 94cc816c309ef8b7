"""What this machine can do at best: the floors that the engine's speed is held against."""

from __future__ import annotations

from dataclasses import dataclass

# Larger than the caches of any machine that this is likely to meet.
_READ_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Floors:
    """What `threads` threads reach together.

    `int8_macs_per_second` is of the dot product that `kernels` is built on, and 0 when it has none.
    """

    threads: int
    kernels: str
    read_bytes_per_second: float
    int8_macs_per_second: float

    def better(self, other: Floors) -> Floors:
        """The better of two measurements: a disturbed floor would flatter what is held to it."""
        return Floors(
            self.threads,
            self.kernels,
            max(self.read_bytes_per_second, other.read_bytes_per_second),
            max(self.int8_macs_per_second, other.int8_macs_per_second),
        )


def measure_floors(threads: int) -> Floors:
    """Measures for about half a second; takes 256 MB of memory meanwhile."""
    from sterna_service.engine import _native

    native = _native.measure_floors(threads, _READ_BYTES)
    return Floors(
        threads,
        native.kernels,
        native.read_bytes_per_second,
        native.int8_macs_per_second,
    )
