"""Rotary embeddings and their scalings in plain numpy, from the papers' formulas.

In double precision but for what the reference library rounds to single: the angles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Rotary:
    """What config.json says of positions."""

    def __init__(self, config: Mapping[str, Any], head_dim: int) -> None:
        self.scaling = config.get("rope_scaling") or {}
        self.theta = float(config["rope_theta"])
        self.head_dim = head_dim
        self.context = int(config["max_position_embeddings"])
        self.original = int(self.scaling.get("original_max_position_embeddings") or self.context)
        self.factor = float(self.scaling.get("factor") or self.context / self.original)
        self.kind = self.scaling.get("rope_type", "default")

    def angles(self, tokens: int) -> tuple[Array, Array]:
        """Cosines and sines [t, head_dim / 2] of a text of t tokens."""
        frequencies = self._frequencies(tokens).astype(np.float32)
        angles = np.arange(tokens, dtype=np.float32)[:, None] * frequencies[None, :]
        magnitude = np.float32(self._magnitude())
        return np.cos(angles) * magnitude, np.sin(angles) * magnitude

    def _magnitude(self) -> float:
        if self.kind == "yarn":
            return float(self.scaling.get("attention_factor") or 0.1 * math.log(self.factor) + 1)
        if self.kind == "longrope":
            return math.sqrt(1 + math.log(self.factor) / math.log(self.original))
        return 1.0

    def _frequencies(self, tokens: int) -> Array:
        plain: Array = self.theta ** -(np.arange(0, self.head_dim, 2) / self.head_dim)
        if self.kind == "linear":
            return plain / self.factor
        if self.kind == "longrope":
            name = "long_factor" if tokens > self.original else "short_factor"
            factors: Array = np.array(self.scaling[name])
            return plain / factors
        kept: Array
        if self.kind == "llama3":
            low, high = self.scaling["low_freq_factor"], self.scaling["high_freq_factor"]
            turns = self.original * plain / (2 * math.pi)  # over the original context
            kept = np.clip((turns - low) / (high - low), 0, 1)
            return self._between(plain, kept)
        if self.kind == "yarn":
            kept = 1 - self._ramp()
            return self._between(plain, kept)
        return plain

    def _between(self, plain: Array, kept: Array) -> Array:
        mixed: Array = plain * kept + plain / self.factor * (1 - kept)
        return mixed

    def _ramp(self) -> Array:
        """From 0 where a dimension turns often to 1 where it hardly turns."""

        def dimension(turns: float) -> float:
            wave = self.original / (turns * 2 * math.pi)
            return self.head_dim * math.log(wave) / (2 * math.log(self.theta))

        low = max(math.floor(dimension(self.scaling.get("beta_fast", 32))), 0)
        high = min(math.ceil(dimension(self.scaling.get("beta_slow", 1))), self.head_dim - 1)
        place = np.arange(self.head_dim // 2)
        ramp: Array = np.clip((place - low) / max(high - low, 0.001), 0, 1)
        return ramp
