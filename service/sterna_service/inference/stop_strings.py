"""Finds stop strings in text that comes in pieces, and never lets a part of one through."""

from __future__ import annotations

from collections.abc import Sequence


class _Pattern:
    """How much of one stop string the text so far ends with (Knuth, Morris and Pratt)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.matched = 0
        # fallback[i]: the longest proper prefix of text that ends text[:i].
        self._fallback = [0] * (len(text) + 1)
        length = 0
        for i in range(1, len(text)):
            while length and text[i] != text[length]:
                length = self._fallback[length]
            length += text[i] == text[length]
            self._fallback[i + 1] = length

    def step(self, character: str) -> bool:
        """Takes one more character; true when the stop string is complete."""
        while self.matched and self.text[self.matched] != character:
            self.matched = self._fallback[self.matched]
        if self.text[self.matched] == character:
            self.matched += 1
        return self.matched == len(self.text)


class StopStringFilter:
    """Lets text through up to the first stop string.

    The stop string that is complete first wins; of several that are complete at the same character,
    the longest. That does not depend on how the text is cut into pieces. Text that may be the
    beginning of a stop string is held back until it is clear that it is not.
    """

    def __init__(self, stop_strings: Sequence[str]) -> None:
        # The longest first, so that it is the one found.
        ordered = sorted(set(stop_strings), key=lambda text: (-len(text), text))
        self._patterns = [_Pattern(text) for text in ordered]
        self._held = ""
        self.found: str | None = None
        """The stop string that was found; afterwards no text comes through."""

    def feed(self, text: str) -> str:
        """Takes a piece of text and returns what may be shown now."""
        if not self._patterns:
            return text
        if self.found is not None:
            return ""
        for position, character in enumerate(text):
            for pattern in self._patterns:
                if pattern.step(character):
                    self.found = pattern.text
                    seen = self._held + text[: position + 1]
                    self._held = ""
                    return seen[: len(seen) - len(pattern.text)]
        seen = self._held + text
        held = max(pattern.matched for pattern in self._patterns)
        self._held = seen[len(seen) - held :]
        return seen[: len(seen) - held]

    def flush(self) -> str:
        """The text that was held back, once no more text can come."""
        held, self._held = self._held, ""
        return held
