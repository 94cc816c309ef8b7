"""Reading tokenizer.json, which may hold anything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from sterna_service.errors import ModelLoadError

# The library makes a list of them, and ends the process when that finds no memory.
_MOST_UNUSED_IDS = 1_000_000


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a file. Blocks.

    Raises:
        ModelLoadError: It is damaged, or its vocabulary is empty or numbered with vast gaps.
    """
    with damage_refused(path):
        tokenizer = Tokenizer.from_file(str(path))
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise ModelLoadError(f"{path}: not a tokenizer (its vocabulary is empty)")
    largest = max(vocabulary.values())
    if largest - len(vocabulary) >= _MOST_UNUSED_IDS:
        raise ModelLoadError(
            f"{path}: not a tokenizer (its ids go up to {largest}, but it has only "
            f"{len(vocabulary)} tokens)"
        )
    return tokenizer


@contextlib.contextmanager
def damage_refused(path: Path) -> Iterator[None]:
    """Inside, whatever the library makes of a file that it cannot use is a `ModelLoadError`."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, ModelLoadError):
        raise
    except BaseException as error:
        # Bare exceptions for most of what a file can hold, and panics, which are no Exception.
        line = str(error).partition("\n")[0][:200]
        raise ModelLoadError(f"{path}: not a tokenizer ({line})") from None
