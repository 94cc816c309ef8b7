"""Fetches pages that a search engine named, none of which is trusted.

Only public addresses are connected to (`network.guard`), also by redirects.
"""

from __future__ import annotations

import asyncio

import httpcore
import httpx

from sterna_service.network.guard import AddressRefusedError, GuardedBackend

_TIMEOUT_SECONDS = 5.0
_MOST_SECONDS = 10.0
_LARGEST_PAGE = 2 * 1024 * 1024
_MOST_REDIRECTS = 3
_PORTS = frozenset({80, 443})
_READABLE = ("text/html", "application/xhtml+xml", "text/plain")
_AGENT = "Mozilla/5.0 (compatible; Sterna)"


class PageRefusedError(Exception):
    """The page is not to be read. The message is one line."""


class PageFetcher:
    """Fetches one page at a time, within limits of time and size."""

    def __init__(self, *, allow_private: bool = False) -> None:
        """`allow_private` lifts the ban on addresses and ports that are not public, for tests."""
        self._allow_private = allow_private

    async def fetch(self, url: str) -> str:
        """The text of a page as its server sent it.

        Raises:
            PageRefusedError: It is not public, not text, too large, too slow, or not there.
        """
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                return await self._fetch(url)
        except TimeoutError:
            raise PageRefusedError(f"took longer than {_MOST_SECONDS:.0f} s") from None
        except AddressRefusedError as error:
            raise PageRefusedError(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise PageRefusedError(f"{type(error).__name__}: {error}"[:200]) from None

    async def _fetch(self, url: str) -> str:
        transport = httpx.AsyncHTTPTransport(retries=0, trust_env=False)
        # There is no public way to say how names are looked up.
        transport._pool = httpcore.AsyncConnectionPool(
            network_backend=GuardedBackend(self._allow_private), max_connections=1
        )
        headers = {"User-Agent": _AGENT, "Accept": ", ".join(_READABLE)}
        async with httpx.AsyncClient(
            transport=transport, timeout=_TIMEOUT_SECONDS, headers=headers, trust_env=False
        ) as client:
            for _ in range(_MOST_REDIRECTS + 1):
                self._check(url)
                async with client.stream("GET", url) as response:
                    if not response.is_redirect:
                        return await _read(response)
                    url = str(response.url.join(response.headers["location"]))
        raise PageRefusedError(f"more than {_MOST_REDIRECTS} redirects")

    def _check(self, url: str) -> None:
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise PageRefusedError("not a web address")
        if parsed.userinfo:
            raise PageRefusedError("the address holds a name or a password")
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        if port not in _PORTS and not self._allow_private:
            raise PageRefusedError(f"port {port} is none of the web's")


async def _read(response: httpx.Response) -> str:
    if response.status_code != 200:
        raise PageRefusedError(f"the server answers {response.status_code}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _READABLE:
        raise PageRefusedError(f"{kind or 'an unknown type'} is no text to read")
    body = bytearray()
    # Decompressed: a small transfer can be a large page.
    async for piece in response.aiter_bytes(64 * 1024):
        body += piece
        if len(body) > _LARGEST_PAGE:
            raise PageRefusedError(f"larger than {_LARGEST_PAGE} bytes")
    try:
        return body.decode(response.charset_encoding or "utf-8", errors="replace")
    except LookupError:
        # Its server names an encoding that there is not.
        return body.decode("utf-8", errors="replace")
