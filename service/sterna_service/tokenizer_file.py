"""Reading tokenizer.json, which may hold anything."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer

from sterna_service.errors import ModelLoadError

# The library makes a list of them, and ends the process when that finds no memory.
_MOST_UNUSED_IDS = 1_000_000

# Tokenizers in use put a character in the place of a character.
_MOST_GROWTH = 64


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a file. Blocks.

    Raises:
        ModelLoadError: It is damaged, its vocabulary is empty or numbered with vast gaps, or it
            makes texts many times as long.
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
    for part in (tokenizer.normalizer, tokenizer.post_processor, tokenizer.decoder):
        growth = _growth(definition_of(part))
        if growth > _MOST_GROWTH:
            raise ModelLoadError(
                f"{path}: not a tokenizer (it makes texts up to {min(growth, 10**9)} times as long)"
            )
    return tokenizer


def definition_of(part: Any) -> dict[str, Any]:
    """A part of a tokenizer, such as its decoder, as it stands in the file; empty for None."""
    return {} if part is None else cast(dict[str, Any], json.loads(part.__getstate__()))


def _growth(part: dict[str, Any]) -> int:
    """How many times as long a part may make a text: a bound, not what it does to any one text."""
    total = 1
    written: set[str] = set()
    for step in _steps(part):
        if step.get("type") == "TemplateProcessing":
            total *= max(1, sum("Sequence" in piece for piece in step["single"]))
        elif step.get("type") == "Replace":
            content, pattern = step["content"], step["pattern"].get("String", "")
            factor = max(1, math.ceil(len(content) / max(1, len(pattern))))
            # What finds nothing of what others wrote adds nothing to it. Expressions may find all.
            meets = not pattern or not written.isdisjoint(pattern)
            total = total * factor if meets else max(total, factor)
            written.update(content)
    return total


def _steps(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A part, or what it consists of."""
    if part.get("type") != "Sequence":
        yield part
        return
    for name in ("normalizers", "processors", "decoders"):
        for step in part.get(name, ()):
            yield from _steps(step)


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
