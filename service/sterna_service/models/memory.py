"""Gives the system back what a model has left to the allocator."""

from __future__ import annotations

import ctypes
import logging

_log = logging.getLogger(__name__)


def release_memory() -> None:
    """Returns freed memory to the system, where the C library can do it (glibc). Blocks.

    Vocabularies and tokenizers are many small pieces, which the allocator of glibc keeps for later,
    in an area for each thread.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        _log.debug("this C library does not return memory on demand")
