"""The address of a webhook: which ones are taken, and how one is told something."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore

from sterna_service.errors import invalid, out_of_range
from sterna_service.network.guard import (
    AddressRefusedError,
    GuardedBackend,
    NoAddressError,
    resolve,
)

LONGEST_URL = 2048

# As many attempts may be under way as connections.
MOST_CONNECTIONS = 32

_LOOKUP_SECONDS = 5.0
_AGENT = "Sterna-Webhooks/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt: the status, or 0 and why there is none, in one line."""

    status: int
    message: str = ""


async def check_url(url: str, *, allow_private: bool) -> None:
    """Checks the address of a new webhook. What has no address now may have one later.

    Raises:
        ServiceError: It is no web address, or not a public one.
    """
    if not url:
        raise invalid("url", "is required: an http or https address")
    if len(url) > LONGEST_URL:
        raise out_of_range("url", f"at most {LONGEST_URL} characters", len(url))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or parts.scheme not in ("http", "https") or not host or not _is_plain(url):
        raise invalid(
            "url", "must be an http or https address of printable ASCII characters without spaces"
        )
    if parts.username is not None or parts.password is not None:
        raise invalid("url", "must not hold a name or a password; deliveries are signed instead")
    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            await resolve(host, port or 443, allow_private=allow_private)
    except (NoAddressError, TimeoutError):
        return
    except AddressRefusedError:
        raise invalid(
            "url",
            "must be a public address; for targets in private networks start the server with "
            "webhook_private_targets",
        ) from None


def _is_plain(url: str) -> bool:
    return all("!" <= character <= "~" for character in url)


class Sender:
    """Sends messages: never a second time, nowhere else, and reading no more than the status.

    Redirects are not followed. No proxy of the environment is used: it would be told addresses
    that it resolves itself. Belongs to the event loop.
    """

    def __init__(self, *, allow_private: bool, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._allow_private = allow_private
        self._opening = asyncio.Lock()
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        """One attempt; it ends within the time limit however the target behaves."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(url, headers, body)
        except TimeoutError:
            return Answer(0, f"no answer within {self._timeout:g} s")
        except AddressRefusedError as error:
            return Answer(0, str(error))
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            httpcore.UnsupportedProtocol,
            OSError,
        ) as error:
            words = f"{type(error).__name__}: {error}"
            return Answer(0, " ".join(words.split())[:200])

    async def _post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        pool = await self._opened()
        sent = {
            "Content-Type": "application/json",
            "User-Agent": _AGENT,
            "Connection": "close",
            **headers,
        }
        # The body of the answer is left unread: leaving the block closes the connection.
        async with pool.stream(
            "POST", url, headers=list(sent.items()), content=body.encode()
        ) as response:
            return Answer(response.status)

    async def _opened(self) -> httpcore.AsyncConnectionPool:
        async with self._opening:
            if self._pool is None:
                # Reads the known authorities, which takes a while.
                context = await asyncio.to_thread(httpcore.default_ssl_context)
                self._pool = httpcore.AsyncConnectionPool(
                    ssl_context=context,
                    max_connections=MOST_CONNECTIONS,
                    max_keepalive_connections=0,
                    network_backend=GuardedBackend(self._allow_private),
                )
            return self._pool

    async def close(self) -> None:
        """Closes what is open."""
        if self._pool is not None:
            await self._pool.aclose()
