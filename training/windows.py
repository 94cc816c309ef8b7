"""Training windows: whole conversations packed side by side into rows of one length."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.corpus.chat import EOS, Conversation, Piece, pieces

BOS_ID, EOS_ID, END_OF_TURN_ID, PAD_ID = 0, 1, 2, 3

Encode = Callable[[list[str]], list[list[int]]]

# Rows that wait for a conversation that still fits.
_OPEN_ROWS = 48
_BATCH = 2000


@dataclass(frozen=True)
class Document:
    """Token ids, and for each the weight in the loss, in tenths."""

    ids: list[int]
    weights: list[int]


@dataclass(frozen=True)
class Windows:
    """`tokens` [rows, length + 1] and `weights`, alike: inputs and targets overlap by one."""

    tokens: npt.NDArray[np.uint16]
    weights: npt.NDArray[np.uint8]

    def save(self, stem: Path) -> None:
        np.save(stem.with_name(stem.name + "-tokens.npy"), self.tokens)
        np.save(stem.with_name(stem.name + "-weights.npy"), self.weights)

    @staticmethod
    def load(stem: Path) -> Windows:
        """Map the windows saved at `stem`."""
        tokens = np.load(stem.with_name(stem.name + "-tokens.npy"), mmap_mode="r")
        weights = np.load(stem.with_name(stem.name + "-weights.npy"), mmap_mode="r")
        return Windows(tokens, weights)


def documents(conversations: Iterable[Conversation], encode: Encode) -> Iterator[Document]:
    """Tokenized conversations, in order; encoded in batches because that is much faster."""
    batch: list[list[Piece]] = []
    for conversation in conversations:
        batch.append(pieces(conversation))
        if len(batch) == _BATCH:
            yield from _encode(batch, encode)
            batch = []
    yield from _encode(batch, encode)


def raw_text(text: str, weight: int, encode: Encode) -> Document:
    """A text outside any conversation, from the beginning to the end-of-text token."""
    ids = [BOS_ID, *encode([text + EOS])[0]]
    return Document(ids, [0] + [weight] * (len(ids) - 1))


def _encode(batch: list[list[Piece]], encode: Encode) -> Iterator[Document]:
    encoded = iter(encode([piece.text for row in batch for piece in row]))
    for row in batch:
        ids: list[int] = []
        weights: list[int] = []
        for piece in row:
            tokens = next(encoded)
            ids += tokens
            weights += [piece.weight] * len(tokens)
        yield Document(ids, weights)


def pack(stream: Iterable[Document], length: int, rows: int) -> Windows:
    """Pack documents into `rows` windows of `length`, none of them cut.

    A document longer than a window is left out. Each goes into the open row where it fits best.
    """
    width = length + 1
    tokens = np.full((rows, width), PAD_ID, np.uint16)
    weights = np.zeros((rows, width), np.uint8)
    fill = [0] * rows
    opened = min(_OPEN_ROWS, rows)
    waiting = list(range(opened))
    for document in stream:
        size = len(document.ids)
        if size > width:
            continue
        fitting = [row for row in waiting if width - fill[row] >= size]
        if fitting:
            row = max(fitting, key=fill.__getitem__)
        else:
            # Close the fullest row and open the next one.
            waiting.remove(max(waiting, key=fill.__getitem__))
            if opened < rows:
                row, opened = opened, opened + 1
                waiting.append(row)
            elif waiting:
                continue
            else:
                break
        start, end = fill[row], fill[row] + size
        tokens[row, start:end] = document.ids
        weights[row, start:end] = document.weights
        fill[row] = end
    return Windows(tokens, weights)


def write_manifest(path: Path, facts: dict[str, object]) -> None:
    path.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
