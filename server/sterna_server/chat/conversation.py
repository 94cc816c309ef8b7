"""What was said so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message."""

    role: Role
    text: str


@dataclass(slots=True)
class Conversation:
    """The turns that the next answer is made from."""

    system: str = ""
    turns: list[Turn] = field(default_factory=list)

    def messages(self) -> list[Turn]:
        """All turns, the system prompt first."""
        return [Turn("system", self.system)] * bool(self.system) + self.turns

    def ask(self, text: str) -> None:
        """The person speaks."""
        self.turns.append(Turn("user", text))

    def answer(self, text: str) -> None:
        """The model spoke, perhaps not to the end. No text at all takes the question back."""
        if text:
            self.turns.append(Turn("assistant", text))
        else:
            self.turns.pop()

    def clear(self) -> None:
        """Forgets everything but the system prompt."""
        self.turns.clear()
