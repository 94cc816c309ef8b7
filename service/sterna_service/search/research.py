"""From a query to a few lines that a model can read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sterna_service.search.condense import condense, page_text
from sterna_service.search.pages import PageFetcher, PageRefusedError
from sterna_service.search.providers import Hit, SearchProvider
from sterna_service.telemetry.spans import traced

_MOST_HITS = 5
_MOST_PAGES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one page says about the query."""

    title: str
    url: str
    text: str


class Researcher:
    """Searches, reads the best pages, and keeps what bears on the query."""

    def __init__(self, provider: SearchProvider, fetcher: PageFetcher | None = None) -> None:
        self._provider = provider
        self._fetcher = fetcher or PageFetcher()

    async def research(
        self, query: str, most_tokens: int, count_tokens: Callable[[str], int]
    ) -> list[Finding]:
        """Findings within a budget of tokens, best page first.

        A page that cannot be read counts with the words that the search engine has of it.

        Raises:
            SearchFailedError: The search brought nothing.
        """
        with traced("search", **{"sterna.search.provider": self._provider.name}) as span:
            hits = await self._provider.search(query, _MOST_HITS)
            span.set({"sterna.search.hit_count": len(hits)})
        with traced("read pages"):
            texts = await asyncio.gather(*(self._read(hit) for hit in hits[:_MOST_PAGES]))
        findings = []
        share = max(1, most_tokens // len(hits))
        for index, hit in enumerate(hits):
            text = texts[index] if index < len(texts) else ""
            whole = f"{hit.snippet}\n{text}"
            best = await asyncio.to_thread(condense, whole, query, share, count_tokens)
            if best:
                findings.append(Finding(hit.title, hit.url, best))
        return findings

    async def _read(self, hit: Hit) -> str:
        try:
            return await asyncio.to_thread(page_text, await self._fetcher.fetch(hit.url))
        except PageRefusedError:
            return ""
