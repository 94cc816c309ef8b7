"""Connects to addresses that strangers named, and to public ones only.

A name is looked up once, every address that it has is checked, and the connection is made to one
of those, so that a name cannot mean something else by the time it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterable
from typing import Any

import httpcore

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefusedError(Exception):
    """There is no address, or one that is not public. The message is one line."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, unless `allow_private`."""

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
        addresses = await resolve(host, port, allow_private=self._allow_private)
        return await self._backend.connect_tcp(
            addresses[0], port, timeout, local_address, socket_options
        )

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise AddressRefusedError("not a web address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class NoAddressError(AddressRefusedError):
    """A name has no address, at least not now."""


async def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of a host, all of which may be connected to.

    Raises:
        NoAddressError: It has none.
        AddressRefusedError: One of them is not public.
    """
    try:
        addresses = await _look_up(host, port)
    except (OSError, UnicodeError):
        raise NoAddressError(f"{host[:100]} has no address") from None
    for address in addresses:
        if not allow_private and not is_public(address):
            raise AddressRefusedError(f"{host[:100]} is not a public address")
    return addresses


async def _look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, without keeping one of the loop's few threads busy.

    A name server may take its time. The thread is a daemon, so that it does not keep the process
    from ending either; whoever waits sets a limit.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Any]] = loop.create_future()

    def tell(found: list[Any], error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def work() -> None:
        found: list[Any] = []
        problem: Exception | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            problem = error
        # The loop may be closed by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, found, problem)

    threading.Thread(target=work, name="sterna-lookup", daemon=True).start()
    return [str(entry[4][0]).partition("%")[0] for entry in await answer]


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
