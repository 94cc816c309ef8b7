"""Which things are kept out of the training, decided by their text alone.

A hash instead of a random draw: the decision needs no list, and does not change when the corpus
grows or the order of generation changes.
"""

from __future__ import annotations

import hashlib


def held_out(text: str, share: float) -> bool:
    """Whether `text` belongs to the held-out `share` (0 to 1)."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
