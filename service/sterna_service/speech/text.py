"""Text cut into pieces that are spoken one after the other.

Short pieces let others have their turn and bound the time to the first sound; whole sentences
sound better. So: as many whole sentences as fit; one that is too long is cut at a pause, or between
words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sterna_service.errors import invalid, out_of_range

# The model was made for about fifty tokens at a time, and leaves words out of more.
LONGEST_PIECE = 180

# The end of a sentence: its mark, closing quotes or brackets, and white space; or a line's end.
_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*(?=\s)|[。！？]|\n+")
_PAUSE = re.compile(r"[,;:—–][\"'”’)\]]*\s")
# Sound is made of letters and digits; a piece of marks alone has none.
_SPEAKABLE = re.compile(r"\w", re.UNICODE)


def checked_text(text: str, limit: int, field: str) -> str:
    """`text` with control characters made spaces.

    Raises:
        ServiceError: There is nothing in it that could be spoken, or it is too long.
    """
    if len(text) > limit:
        raise out_of_range(field, f"1 to {limit} characters long", len(text))
    if not speakable(text):
        raise invalid(field, "must hold at least one letter or digit to speak")
    return clean(text)


def clean(text: str) -> str:
    """`text` with its control characters, except line ends, as spaces."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def speakable(text: str) -> bool:
    """Whether anything of `text` has a sound."""
    return _SPEAKABLE.search(text) is not None


def pieces(text: str) -> Iterator[str]:
    """The pieces of a whole text, in order."""
    yield from Splitter(text).finish()


class Splitter:
    """Cuts text that comes in parts of any size."""

    def __init__(self, text: str = "") -> None:
        self._text = text

    def push(self, text: str) -> Iterator[str]:
        """Takes more text; yields the pieces that are complete."""
        self._text += text
        while (end := self._complete()) > 0:
            yield from self._cut(end)

    def finish(self) -> Iterator[str]:
        """Yields what is left, complete or not."""
        while self._text:
            fits = len(self._text) <= LONGEST_PIECE
            yield from self._cut(len(self._text) if fits else self._complete())

    def _cut(self, end: int) -> Iterator[str]:
        piece, self._text = self._text[:end].strip(), self._text[end:].lstrip()
        if speakable(piece):
            yield " ".join(piece.split())

    def _complete(self) -> int:
        """Where the next piece ends; 0 when that cannot be known yet."""
        ends = [match.end() for match in _SENTENCE_END.finditer(self._text)]
        fitting = [end for end in ends if end <= LONGEST_PIECE]
        if fitting:
            return fitting[-1]
        if len(self._text) <= LONGEST_PIECE:
            return 0
        head = self._text[:LONGEST_PIECE]
        pauses = [match.end() for match in _PAUSE.finditer(head)]
        if pauses:
            return pauses[-1]
        space = head.rfind(" ")
        return space if space > 0 else LONGEST_PIECE
