"""How much a client may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one client. None says nothing, and 0 is no limit."""

    requests: int | None = None
    """Requests in a minute."""
    tokens: int | None = None
    """Tokens in a minute, of prompts and answers together."""
    concurrent: int | None = None
    """Requests that run at the same time."""
    streams: int | None = None
    """Answers that are streamed at the same time."""
    upload: int | None = None
    """Bytes of one request."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0 <= value < 2**53:
                raise ValueError(f"{field.name} must be 0 (no limit) to {2**53 - 1}, got {value}")

    def over(self, others: Limits) -> Limits:
        """These, and the others where these say nothing."""
        mine, theirs = asdict(self), asdict(others)
        return Limits(**{name: theirs[name] if mine[name] is None else mine[name] for name in mine})

    def to_json(self) -> dict[str, int]:
        """Those that say something."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Limits:
        """What `to_json` made. A later version's further limits are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


NO_LIMITS = Limits()
