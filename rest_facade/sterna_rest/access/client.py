"""Who a request comes from, also behind proxies that may say so."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks, or single addresses.

    Raises:
        ValueError: One is neither.
    """
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The address of the client: the last one in `X-Forwarded-For` that is no trusted proxy's.

    The header counts only when a trusted proxy sent it; anybody can write one.
    """
    client = scope.get("client")
    address = client[0] if client else ""
    if not trusted or not _is_within(address, trusted):
        return address
    # Each proxy adds whom it heard at the end; what stands before an untrusted one is hearsay.
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    for entry in reversed([each.strip() for each in forwarded if each.strip()]):
        found = _without_port(entry)
        if not _is_address(found):
            break
        address = found
        if not _is_within(found, trusted):
            break
    return address


def _is_within(address: str, networks: Iterable[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(network.version == parsed.version and parsed in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
