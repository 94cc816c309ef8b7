"""Turns the tokens of one answer into text while they come."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sterna_service.inference.stop_strings import StopStringFilter
from sterna_service.inference.tokenizer import Tokenizer

T = TypeVar("T")


class Detokenizer:
    """Text of tokens, whole characters only.

    The answer continues a prompt, so a space that its first token begins with belongs to it.
    Special tokens have no text. Bytes that are no character become U+FFFD as soon as that is
    certain.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_id: int) -> str:
        """Takes a token and returns the characters that are complete with it."""
        if token_id in self._tokenizer.special_tokens:
            return ""
        return self._decoder.decode(self._tokenizer.token_bytes(token_id))

    def flush(self) -> str:
        """What an incomplete character at the end of the answer looks like."""
        return self._decoder.decode(b"", final=True)


@dataclass(slots=True)
class Piece(Generic[T]):
    """Text that may be shown, and the tokens that it belongs to."""

    text: str = ""
    tokens: list[T] = field(default_factory=list)


class AnswerText(Generic[T]):
    """The text of one choice: detokenized, cut before the first stop string.

    Every token carries a value of the caller's, which comes out together with the token's text; a
    token whose text is held back is held back with it, and a token that belongs to a stop string
    as a whole never comes out.
    """

    def __init__(
        self, tokenizer: Tokenizer, stop_strings: Sequence[str] = (), min_tokens: int = 0
    ) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._filter = StopStringFilter(stop_strings)
        # Stop strings are not looked for in the text of the first tokens.
        self._unfiltered = min_tokens
        self._shown = 0
        self._decoded = 0
        # (where its text begins, value) of tokens whose text was not shown yet.
        self._waiting: deque[tuple[int, T]] = deque()

    @property
    def stop_string(self) -> str | None:
        """The stop string that ended the text."""
        return self._filter.found

    def feed(self, token_id: int, value: T) -> Piece[T]:
        """Takes a token and returns what may be shown now, perhaps nothing."""
        self._waiting.append((self._decoded, value))
        text = self._detokenizer.feed(token_id)
        self._decoded += len(text)
        if self._unfiltered > 0:
            self._unfiltered -= 1
            return self._show(text)
        return self._show(self._filter.feed(text))

    def finish(self) -> Piece[T]:
        """What is left once the last token was fed. With a stop string: nothing."""
        tail = self._filter.feed(self._detokenizer.flush())
        piece = self._show(tail + self._filter.flush())
        piece.tokens.extend(value for _, value in self._waiting)
        self._waiting.clear()
        return piece

    def _show(self, text: str) -> Piece[T]:
        self._shown += len(text)
        piece: Piece[T] = Piece(text)
        while self._waiting and self._waiting[0][0] < self._shown:
            piece.tokens.append(self._waiting.popleft()[1])
        if self.stop_string is not None:
            self._waiting.clear()
        return piece
