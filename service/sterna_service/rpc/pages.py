"""Lists in pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from sterna_service.errors import invalid, out_of_range

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 1000

T = TypeVar("T")


def page_of(
    items: Sequence[T], key: Callable[[T], str], page_size: int, page_token: str
) -> tuple[Sequence[T], str]:
    """A page of `items` and the token of the next one, empty at the end.

    The token names the last item of the page before, so that items which come or go in between
    neither repeat nor hide others. When that item itself is gone, the list begins anew.

    Raises:
        ServiceError: The size is negative, or the token was not made here.
    """
    size = size_of_page(page_size)
    begin = 0
    if page_token:
        last = key_in(page_token)
        begin = next((i + 1 for i, item in enumerate(items) if key(item) == last), 0)
    page = items[begin : begin + size]
    more = begin + size < len(items)
    return page, token_of(key(page[-1])) if more else ""


def size_of_page(asked: int) -> int:
    """How many items a page may have.

    Raises:
        ServiceError: The number asked for is negative.
    """
    if asked < 0:
        raise out_of_range("page_size", f"0 to {LARGEST_PAGE_SIZE}", asked)
    return min(asked or DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE)


def token_of(key: str) -> str:
    """A page token that holds a key."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def key_in(token: str) -> str:
    """The key in a page token.

    Raises:
        ServiceError: The token was not made here.
    """
    try:
        key = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        key = "\0"
    # PostgreSQL has no text with U+0000 to compare with.
    if not key.isprintable():
        raise invalid("page_token", "must be one that a previous page gave")
    return key
