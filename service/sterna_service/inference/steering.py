"""Keeps the choices of a running call inside their grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sterna_service.engine import types as engine
from sterna_service.inference.grammar import Guide

# Forced tokens that are looked for at once: more would keep the event loop from other calls.
LONGEST_RUN = 64


class GuidedRun(Protocol):
    """A queued request that waits for masks; see `EngineRun.guide`."""

    def guide(self, choice: int, index: int, mask: bytes, forced: Sequence[int] = ()) -> None: ...


class _Choice:
    """Where one choice is in its grammar."""

    def __init__(self, guide: Guide) -> None:
        self.guide = guide
        self.tokens = 0
        """Reported by the engine."""
        self.given = 0
        """The position of the last mask. What comes before it was forced and is known."""


class Steering:
    """Answers the tokens of a run with the mask for the next one.

    The engine computes the next position meanwhile, so a mask that takes less than that costs
    nothing. Where the grammar leaves no choice, the tokens are given together with the mask behind
    them, and the engine computes them in one step. Without guides it does nothing.
    """

    def __init__(self, run: GuidedRun, guides: Sequence[Guide], *, jump_ahead: bool = True) -> None:
        """Gives the masks of the first tokens. `jump_ahead`: give what is forced at once.

        Raises:
            ServiceError: The grammar became too complex to follow; so does `follow`.
        """
        self._run = run
        self._longest_run = LONGEST_RUN if jump_ahead else 0
        self._choices = [_Choice(guide) for guide in guides]
        for index in range(len(guides)):
            self._give(index)

    def follow(self, events: Sequence[engine.EngineEvent]) -> None:
        """Takes the run's next events."""
        if not self._choices:
            return
        for event in events:
            if isinstance(event, engine.Token):
                choice = self._choices[event.choice]
                choice.tokens += 1
                if choice.tokens > choice.given:
                    choice.guide.accept(event.token)
                    self._give(event.choice)

    def _give(self, index: int) -> None:
        choice = self._choices[index]
        forced, mask = choice.guide.next(self._longest_run)
        choice.given = choice.tokens + len(forced)
        self._run.guide(index, choice.tokens, mask, forced)
