"""Word errors."""

from __future__ import annotations

from collections.abc import Sequence


def edits(wanted: Sequence[str], heard: Sequence[str]) -> int:
    """The least insertions, deletions and substitutions from one to the other."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(wanted, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]
