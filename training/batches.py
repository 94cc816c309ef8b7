"""Which windows make the batch of a step: a fixed shuffle of all of them, over and over."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


class Order:
    """A seeded endless order of `total` rows; every epoch is a shuffle of its own.

    A place in the order is a number, so that training can go on from any step.
    """

    def __init__(self, total: int, key: tuple[int, ...]) -> None:
        if total < 1:
            raise ValueError("there must be at least one window to train on")
        self._total = total
        self._key = key
        self._epoch = -1
        self._rows: Rows = np.empty(0, np.int64)

    def slice(self, first: int, count: int) -> Rows:
        """The rows at places `first` to `first + count - 1`."""
        places = np.arange(first, first + count, dtype=np.int64)
        parts = [
            self._shuffled(int(epoch))[places[places // self._total == epoch] % self._total]
            for epoch in np.unique(places // self._total)
        ]
        return np.concatenate(parts)

    def _shuffled(self, epoch: int) -> Rows:
        if epoch != self._epoch:
            generator = np.random.default_rng((*self._key, epoch))
            self._rows = generator.permutation(self._total)
            self._epoch = epoch
        return self._rows
