"""Addresses that strangers named: looked up without holding up anything else."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from sterna_service.network.guard import AddressRefusedError, NoAddressError, resolve


async def test_slow_name_servers_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        answer.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    waiting = [
        asyncio.create_task(resolve(f"slow{number}.example", 80, allow_private=False))
        for number in range(100)
    ]
    await asyncio.sleep(0)
    # The few threads that everything shares are free.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 30) == "done"
    assert not any(each.done() for each in waiting)
    answer.set()
    assert await asyncio.gather(*waiting) == [["93.184.216.34"]] * 100


async def test_whoever_waits_may_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def lookup(*_: Any, **__: Any) -> list[Any]:
        answer.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await resolve("slow.example", 80, allow_private=False)
    answer.set()
    with pytest.raises(NoAddressError, match=r"slow\.example has no address"):
        await resolve("slow.example", 80, allow_private=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.0.0.1", "fe80::1", "169.254.169.254"])
async def test_private_addresses(host: str) -> None:
    with pytest.raises(AddressRefusedError):
        await resolve(host, 80, allow_private=False)
    assert await resolve(host, 80, allow_private=True) == [host]


async def test_one_private_address_of_many_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        both = ["93.184.216.34", "::ffff:10.0.0.1"]
        return [(0, socket.SOCK_STREAM, 6, "", (address, port)) for address in both]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(AddressRefusedError, match="not a public address"):
        await resolve("rebind.example", 80, allow_private=False)
