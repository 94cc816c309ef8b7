"""Search engines: a query in, pages with a few words of each out."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any, Protocol

from sterna_service.errors import Reason, ServiceError

BRAVE_ENDPOINT = "https://api.search.brave.com/res/v1/web/search"
BRAVE_KEY_VARIABLE = "SEARCH_API_KEY"

_TIMEOUT_SECONDS = 8.0
_LONGEST_QUERY = 400
_LARGEST_ANSWER = 1024 * 1024


class SearchFailedError(Exception):
    """The search brought nothing. The message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A page that was found."""

    title: str
    url: str
    snippet: str


class SearchProvider(Protocol):
    """A search engine."""

    name: str

    async def search(self, query: str, most: int) -> list[Hit]:
        """At most so many pages, best first.

        Raises:
            SearchFailedError: There is no answer, or an empty one.
        """
        ...


class DdgsProvider:
    """DuckDuckGo, through the library that reads its result pages. Needs no key."""

    name = "ddgs"

    async def search(self, query: str, most: int) -> list[Hit]:
        return await asyncio.to_thread(self._search, query[:_LONGEST_QUERY], most)

    def _search(self, query: str, most: int) -> list[Hit]:
        from ddgs import DDGS
        from ddgs.exceptions import DDGSException

        try:
            found: list[dict[str, Any]] = DDGS(timeout=int(_TIMEOUT_SECONDS)).text(
                query, max_results=most, backend="duckduckgo"
            )
        except DDGSException as error:
            raise SearchFailedError(f"DuckDuckGo does not answer ({_one_line(error)})") from None
        return _hits(found, ("title", "href", "body"), most)


class BraveProvider:
    """Brave Search, which asks for a key."""

    name = "brave"

    def __init__(self, key: str, endpoint: str = BRAVE_ENDPOINT) -> None:
        self._key = key
        self._endpoint = endpoint

    async def search(self, query: str, most: int) -> list[Hit]:
        import httpx

        headers = {"X-Subscription-Token": self._key, "Accept": "application/json"}
        parameters: dict[str, str | int] = {"q": query[:_LONGEST_QUERY], "count": most}
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
                answer = await client.get(self._endpoint, params=parameters, headers=headers)
            answer.raise_for_status()
            if len(answer.content) > _LARGEST_ANSWER:
                raise SearchFailedError("Brave Search sends an answer that is too large")
            found = answer.json()["web"]["results"]
        except httpx.HTTPStatusError as error:
            code = error.response.status_code
            raise SearchFailedError(f"Brave Search answers {code}") from None
        except httpx.HTTPError as error:
            raise SearchFailedError(f"Brave Search does not answer ({_one_line(error)})") from None
        except (ValueError, KeyError, TypeError):
            raise SearchFailedError("Brave Search sends an answer without results") from None
        return _hits(found, ("title", "url", "description"), most)


def make_provider(name: str, endpoint: str = "") -> SearchProvider:
    """The provider of that name; `endpoint` is Brave's, where it is not the public one.

    Raises:
        ServiceError: What it needs is not installed, or not configured.
    """
    try:
        import ddgs  # noqa: F401
        import trafilatura  # noqa: F401
    except ImportError:
        raise ServiceError(
            Reason.SEARCH_NOT_CONFIGURED,
            'searching needs further packages: pip install "sterna-server[search]"',
            metadata={"provider": name, "variable": ""},
        ) from None
    if name != BraveProvider.name:
        return DdgsProvider()
    key = os.environ.get(BRAVE_KEY_VARIABLE, "")
    if not key:
        raise ServiceError(
            Reason.SEARCH_NOT_CONFIGURED,
            f"Brave Search needs a key: set {BRAVE_KEY_VARIABLE} in the server's environment",
            metadata={"provider": name, "variable": BRAVE_KEY_VARIABLE},
        )
    return BraveProvider(key, endpoint or BRAVE_ENDPOINT)


def _hits(found: Any, names: tuple[str, str, str], most: int) -> list[Hit]:
    """What a provider sent, believed as little as any input."""
    hits = []
    for entry in found if isinstance(found, list) else []:
        if not isinstance(entry, dict):
            continue
        title, url, snippet = (str(entry.get(name) or "") for name in names)
        if url.startswith(("http://", "https://")) and len(url) <= 2048:
            hits.append(Hit(title[:300], url, snippet[:2000]))
    if not hits:
        raise SearchFailedError("the search found nothing")
    return hits[:most]


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())[:120]
