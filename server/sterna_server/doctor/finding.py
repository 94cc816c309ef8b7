"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How good it is."""

    OK = "ok"
    WARNING = "warning"
    """The server runs, and not as well as it could."""
    ERROR = "error"
    """The server does not start, or does not do what the settings ask for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is empty when all is well."""

    check: str
    verdict: Verdict
    message: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """Numbers and names for programs; sizes are bytes."""


def ok(check: str, message: str, **facts: Any) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, message, facts=facts)


def warning(check: str, message: str, remedy: str, **facts: Any) -> Finding:
    """It could be better."""
    return Finding(check, Verdict.WARNING, message, remedy, facts)


def error(check: str, message: str, remedy: str, **facts: Any) -> Finding:
    """It does not work."""
    return Finding(check, Verdict.ERROR, message, remedy, facts)
