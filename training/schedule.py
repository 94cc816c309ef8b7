"""The learning rate as a function of the tokens seen, never of the time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Warm-up, a constant stretch, then a straight line to zero over the last `decay_tokens`.

    A run can be prolonged from a checkpoint of the constant stretch by a larger `total_tokens`.
    """

    total_tokens: int
    decay_tokens: int
    warmup_tokens: int

    def __post_init__(self) -> None:
        if not 0 <= self.decay_tokens <= self.total_tokens:
            raise ValueError(
                f"decay_tokens is {self.decay_tokens}, must lie between 0 and total_tokens "
                f"({self.total_tokens})"
            )

    def factor(self, tokens: int) -> float:
        """What the peak learning rate is multiplied with after `tokens` tokens."""
        warm = min(1.0, (tokens + 1) / self.warmup_tokens) if self.warmup_tokens else 1.0
        left = max(0, self.total_tokens - tokens)
        decay = min(1.0, left / self.decay_tokens) if self.decay_tokens else 1.0
        return min(warm, decay)

    def decaying(self, tokens: int) -> bool:
        return tokens >= self.total_tokens - self.decay_tokens
