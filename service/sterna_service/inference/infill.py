"""Filling a gap between two texts, with models that were trained to.

Such a model knows control tokens that mark what comes before the gap, what comes after it, and
where its own text begins. Their spellings are all that a checkpoint tells about it; the order of
the parts is the same in all families here: before, after, and then the model's text. It is the PSM
of Bavarian et al., "Efficient Training of Language Models to Fill in the Middle", 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# What stands before the text before the gap, before the text after it, and before the model's own.
_MARKS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
)

# Where models go on to other files, besides their end tokens.
_ENDS = ("<|fim_pad|>", "<fim_pad>", "<|repo_name|>", "<|file_sep|>", "<file_sep>")


@dataclass(frozen=True, slots=True)
class Infill:
    """The control tokens of a model that fills gaps."""

    before: int
    after: int
    middle: int
    ends: frozenset[int]
    """Tokens that end what is filled in, besides the end tokens of the model."""

    def arrange(self, prefix: Sequence[int], suffix: Sequence[int]) -> list[int]:
        """The prompt whose continuation stands between the two."""
        return [self.before, *prefix, self.after, *suffix, self.middle]


def find_infill(added_tokens: Mapping[str, int]) -> Infill | None:
    """The marks among the tokens that were added to a vocabulary; None: it has none."""
    for names in _MARKS:
        marks = [added_tokens.get(name) for name in names]
        if None not in marks:
            before, after, middle = (id for id in marks if id is not None)
            ends = {added_tokens[name] for name in _ENDS if name in added_tokens}
            return Infill(before, after, middle, frozenset({before, after, middle} | ends))
    return None
