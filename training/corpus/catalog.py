"""Everything the model is to know, as one checked list of items."""

from __future__ import annotations

from training.corpus import facts, sequences
from training.corpus.content import CONTENT_DIR, Item, check_items, read_blocks

BLOCK_FILES = ("identity", "smalltalk", "sterna", "common", "refusals")


def all_items() -> list[Item]:
    """Every item, trained and held out. Raises ContentError for contradicting content."""
    items: list[Item] = []
    for name in BLOCK_FILES:
        items += read_blocks(CONTENT_DIR / f"{name}.txt")
    items += facts.countries() + facts.elements() + facts.definitions() + facts.opposites()
    items += sequences.sequences() + sequences.counting() + facts.things()
    items += sequences.sums() + facts.unknowns()
    # What is defined by hand in a block wins over the generated definition.
    by_hand = {q for item in items if item.category in BLOCK_FILES for q in item.questions}
    kept = [
        item
        for item in items
        if item.category != "definition" or by_hand.isdisjoint(item.questions[:1])
    ]
    check_items(kept)
    return kept
