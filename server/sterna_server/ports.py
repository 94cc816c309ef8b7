"""Listening addresses, checked before anything slow begins."""

from __future__ import annotations

import errno
import socket

from sterna_server.errors import CommandError


class PortError(CommandError):
    """An address cannot be listened on. The message is one line and names the flag to change."""


def bind(host: str, port: int, *, flag: str) -> socket.socket:
    """A bound TCP socket; the caller listens on it or closes it. Port 0 takes any free port.

    `flag` is the command line's name of the port (`--port`); the message of a failure names it.

    Raises:
        PortError: The port is taken, or the address is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise PortError(
            f"{flag.replace('port', 'host')} {host}: is not an address of this machine "
            f"({error.strerror})"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        # Lets a restart reuse a port whose old connections still linger; it does not let two
        # servers share one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise PortError(_explain(host, port, flag, error)) from None
    return listener


def listen(host: str, port: int, *, flag: str) -> socket.socket:
    """As `bind`, and listening, so that no second server can take the port meanwhile."""
    listener = bind(host, port, flag=flag)
    try:
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PortError(_explain(host, port, flag, error)) from None
    listener.setblocking(False)
    return listener


def check_free(host: str, port: int, *, flag: str) -> None:
    """Fails when `port` cannot be listened on now; for a port that someone else will bind."""
    listen(host, port, flag=flag).close()


def check_differ(rest: tuple[str, int], grpc: tuple[str, int]) -> None:
    """Raises `CommandError` when REST and gRPC were given the same host and port."""
    if rest[1] and rest == grpc:
        raise CommandError(f"port and grpc_port are both {rest[1]}; REST and gRPC need one each")


def _explain(host: str, port: int, flag: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is already in use; stop the program that uses it, or choose "
            f"another with {flag} (0 takes any free one)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights; choose one above 1023 with {flag}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{flag.replace('port', 'host')} {host}: is not an address of this machine"
    return f"cannot listen on {host} port {port} ({flag}): {error.strerror}"
