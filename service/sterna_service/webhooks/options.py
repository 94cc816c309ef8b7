"""How webhooks are served."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sterna_service.errors import StartupError

MOST_RETRIES = 20
LONGEST_DELAY_SECONDS = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """How webhooks are served; the delays are those that Standard Webhooks recommends."""

    private_targets: bool = False
    """Whether addresses of private networks and of this machine may be told, too."""
    timeout_seconds: float = 20.0
    """How long one attempt may take, from the name lookup to the answer."""
    retry_delays: Sequence[float] = (
        5.0,
        5 * 60.0,
        30 * 60.0,
        2 * 3600.0,
        5 * 3600.0,
        10 * 3600.0,
        14 * 3600.0,
        20 * 3600.0,
        24 * 3600.0,
    )
    """Seconds from one failed attempt to the next; each is varied by up to a fifth."""

    @property
    def longest_wait(self) -> timedelta:
        """More than any time between two attempts."""
        return timedelta(seconds=1.5 * max(self.retry_delays, default=0.0) + 600.0)

    @property
    def lease(self) -> timedelta:
        """After that an attempt of which nothing was heard is taken for lost."""
        return timedelta(seconds=self.timeout_seconds + 5.0)


def check_options(options: WebhookOptions) -> None:
    """Checks what a configuration may get wrong.

    Raises:
        StartupError: A number is out of its range.
    """
    if not 0.1 <= options.timeout_seconds <= 60:
        raise StartupError(
            f"webhook_timeout must be 0.1 to 60 seconds, got {options.timeout_seconds}"
        )
    if len(options.retry_delays) > MOST_RETRIES:
        raise StartupError(
            f"webhook_retry_delays must be at most {MOST_RETRIES}, got {len(options.retry_delays)}"
        )
    for delay in options.retry_delays:
        if not (math.isfinite(delay) and 0 <= delay <= LONGEST_DELAY_SECONDS):
            raise StartupError(
                f"webhook_retry_delays must be 0 to {LONGEST_DELAY_SECONDS:.0f} seconds, "
                f"got {delay}"
            )
