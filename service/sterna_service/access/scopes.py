"""What a key allows."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """One kind of work. The names are part of the protocol and of the database."""

    INFERENCE = "inference"
    """Answers, tokens, embeddings and stored conversations."""
    SPEECH = "speech"
    """Recognition, synthesis and voices."""
    ADMIN = "admin"
    """Models, downloads, webhooks, and the list of everybody's conversations."""
    METRICS = "metrics"
    """What the server does: state, events and metrics."""


EVERY_SCOPE = frozenset(Scope)


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes with these names.

    Raises:
        ValueError: One is unknown, or there is none; the message names those that exist.
    """
    known = ", ".join(Scope)
    scopes = set()
    for name in names:
        try:
            scopes.add(Scope(name))
        except ValueError:
            raise ValueError(f"{name!r} is no scope; there are {known}") from None
    if not scopes:
        raise ValueError(f"a key needs at least one scope: {known}")
    return frozenset(scopes)
