"""Addresses of clients: whose word about them counts, and how far they tell clients apart."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import unquote

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks, or single addresses.

    Raises:
        ValueError: One is neither.
    """
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address belongs to one of the networks."""
    try:
        parsed = _parsed(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks if network.version == parsed.version)


def peer_address(peer: str) -> str:
    """The address in what gRPC calls a peer (`ipv4:10.0.0.1:5000`); empty for a Unix socket."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]")


def client_name(address: str) -> str:
    """What an address is counted under: itself, or the network of 64 bits of an IPv6 address.

    A household or a host has so many addresses of such a network that each would be new.
    """
    try:
        parsed = _parsed(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
