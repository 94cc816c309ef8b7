"""Fetches pages that a search engine named, none of which is trusted.

Only public addresses are connected to: the name is looked up once, every address that it has is
checked, and the connection is made to one of those, so that a name cannot mean something else by
the time it is used. The same holds for every redirect.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

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
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise PageRefusedError(f"{type(error).__name__}: {error}"[:200]) from None

    async def _fetch(self, url: str) -> str:
        transport = httpx.AsyncHTTPTransport(retries=0, trust_env=False)
        # There is no public way to say how names are looked up.
        transport._pool = httpcore.AsyncConnectionPool(
            network_backend=_GuardedBackend(self._allow_private), max_connections=1
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
    return body.decode(response.charset_encoding or "utf-8", errors="replace")


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        address = await self._resolve(host, port)
        return await self._backend.connect_tcp(
            address, port, timeout, local_address, socket_options
        )

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise PageRefusedError("not a web address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _resolve(self, host: str, port: int) -> str:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            raise PageRefusedError(f"{host[:100]} has no address") from None
        addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
        for address in addresses:
            if not self._allow_private and not is_public(address):
                raise PageRefusedError(f"{host[:100]} is not a public address")
        return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address belongs to the public network, whatever it is wrapped in."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
        if parsed in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    return parsed.is_global and not parsed.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
