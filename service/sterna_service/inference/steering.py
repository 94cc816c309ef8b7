"""Keeps the choices of a running call inside their grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sterna_service.engine import types as engine
from sterna_service.inference.grammar import Guide


class GuidedRun(Protocol):
    """A queued request that waits for masks; see `EngineRun.guide`."""

    def guide(self, choice: int, index: int, mask: bytes) -> None: ...


class Steering:
    """Answers every token of a run with the mask for the next one.

    The engine computes the next position meanwhile, so a mask that takes less than that costs
    nothing. Without guides it does nothing.
    """

    def __init__(self, run: GuidedRun, guides: Sequence[Guide]) -> None:
        """Gives the masks of the first tokens.

        Raises:
            ServiceError: The grammar became too complex to follow; so does `follow`.
        """
        self._run = run
        self._guides = guides
        self._tokens = [0] * len(guides)
        for choice, guide in enumerate(guides):
            run.guide(choice, 0, guide.mask())

    def follow(self, events: Sequence[engine.EngineEvent]) -> None:
        """Takes the run's next events."""
        if not self._guides:
            return
        for event in events:
            if isinstance(event, engine.Token):
                guide = self._guides[event.choice]
                guide.accept(event.token)
                self._tokens[event.choice] += 1
                self._run.guide(event.choice, self._tokens[event.choice], guide.mask())
