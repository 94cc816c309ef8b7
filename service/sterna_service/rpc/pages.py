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
    if page_size < 0:
        raise out_of_range("page_size", f"0 to {LARGEST_PAGE_SIZE}", page_size)
    size = min(page_size or DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE)
    begin = 0
    if page_token:
        last = _key_in(page_token)
        begin = next((i + 1 for i, item in enumerate(items) if key(item) == last), 0)
    page = items[begin : begin + size]
    more = begin + size < len(items)
    return page, _token_of(key(page[-1])) if more else ""


def _token_of(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _key_in(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise invalid("page_token", "must be one that a previous page gave") from None
