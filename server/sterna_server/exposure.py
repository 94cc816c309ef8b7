"""Keeps a server that asks nobody for a key from other machines, unless it is told to face them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator

from sterna_server.errors import CommandError
from sterna_server.sections.listener import listener
from sterna_server.settings import Settings


def check_exposure(settings: Settings, *, rest: bool, grpc: bool) -> None:
    """Refuses to listen without keys where other machines reach it.

    `rest` and `grpc` say which of the two ports this process opens.

    Raises:
        CommandError: It would, and `allow_unauthenticated` is not set.
    """
    if settings.auth != "off" or settings.allow_unauthenticated:
        return
    # Where clients must show a certificate, strangers stay outside, too.
    if settings.tls_client_ca is not None and not settings.listen:
        return
    for setting, host in _hosts(settings, rest=rest, grpc=grpc):
        if not is_loopback(host):
            raise CommandError(
                f"{setting} {host}: other machines reach this address, and keys are off; make one "
                "with `sterna keys create` and start with --auth keys, or start with "
                "--allow-unauthenticated to let everybody in"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener on `host`, an address or a name."""
    try:
        addresses: Iterable[str] = [str(ipaddress.ip_address(host.strip("[]")))]
    except ValueError:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            # Listening will fail, and say so.
            return True
        addresses = [str(entry[4][0]) for entry in found]
    return all(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in addresses)


def _hosts(settings: Settings, *, rest: bool, grpc: bool) -> Iterator[tuple[str, str]]:
    if rest:
        yield "--host", settings.host
        for text in settings.listen:
            yield "--listen", listener(text).host
    if grpc:
        yield "--grpc-host", settings.grpc_host
