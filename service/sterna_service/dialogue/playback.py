"""How much of an answer was heard.

The server knows when audio left, and assumes that it is played at once and without a pause, until
the client says better. Text is matched to audio piece by piece, and within a piece word by word in
proportion to its length.
"""

from __future__ import annotations

# Characters per second of speech, until a piece shows how fast this voice is.
_USUAL_PACE = 14.0
# What is cut off at the end by less than this was heard.
_TOLERANCE = 0.05


class Playback:
    """The audio of one answer on its way to somebody's ear. Times are seconds."""

    def __init__(self) -> None:
        self._delivered = 0.0
        self._end = 0.0
        self._pieces: list[tuple[str, float]] = []
        self._open = ""

    @property
    def end(self) -> float:
        """When the last audio will have been played; 0 before any was delivered."""
        return self._end

    def deliver(self, seconds: float, now: float) -> None:
        """So much more audio left now."""
        self._delivered += seconds
        self._end = max(self._end, now) + seconds

    def begin_piece(self, text: str) -> None:
        """The audio that is made from now on speaks `text`."""
        self._open = text

    def end_piece(self, text: str, end: float) -> None:
        """All audio of a piece is made; it ends so far into the answer."""
        self._pieces.append((text, end))
        self._open = ""

    def heard(self, now: float) -> float:
        """How much of the audio was played by now."""
        return self._delivered - max(0.0, self._end - now)

    def text(self, heard: float) -> str:
        """What was said in the first `heard` seconds."""
        said: list[str] = []
        begin, characters = 0.0, 0
        for text, end in self._pieces:
            if heard < end - _TOLERANCE:
                return _joined(said, _share(text, (heard - begin) / max(end - begin, _TOLERANCE)))
            said.append(text)
            begin, characters = end, characters + len(text)
        pace = characters / begin if begin > 1.0 else _USUAL_PACE
        return _joined(said, _share(self._open, (heard - begin) * pace / max(1, len(self._open))))


def _joined(said: list[str], rest: str) -> str:
    return " ".join([*said, rest] if rest else said)


def _share(text: str, share: float) -> str:
    """The words at the beginning of `text` that make up such a share of it."""
    if share <= 0:
        return ""
    room = min(1.0, share) * len(text)
    words: list[str] = []
    length = 0
    for word in text.split():
        length += len(word) + 1
        if length > room + 1:
            break
        words.append(word)
    return " ".join(words)
