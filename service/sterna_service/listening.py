"""Where a core listens: a TCP port, and a Unix socket beside it."""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sterna_service.options import CoreOptions
from sterna_service.rpc.server import RpcServer


@dataclass(frozen=True, slots=True)
class Addresses:
    """The open listeners of one core."""

    port: int | None
    """The TCP port; None without that listener."""
    tcp: str | None
    """`host:port` of the same."""
    unix_path: Path
    private_directory: Path | None
    """The directory that was made for the Unix socket, unless it has a path of the operator's."""

    def remove_socket(self) -> None:
        """Takes the Unix socket out of the file system."""
        with contextlib.suppress(OSError):
            self.unix_path.unlink(missing_ok=True)
        if self.private_directory is not None:
            shutil.rmtree(self.private_directory, ignore_errors=True)


async def listen(server: RpcServer, options: CoreOptions) -> Addresses:
    """Opens the listeners and starts `server`, which is stopped when that fails.

    Raises:
        StartupError: A port or a path cannot be had, or the certificates cannot be used.
    """
    private_directory: Path | None = None
    unix_path = options.unix_path
    try:
        address = port = None
        if options.host is not None:
            port = server.listen_tcp(options.host, options.port, options.certificates)
            address = f"{_bracketed(options.host)}:{port}"
        if unix_path is None:
            # mkdtemp makes it for this user alone, and so is the socket.
            private_directory = Path(tempfile.mkdtemp(prefix="sterna-"))
            unix_path = private_directory / "core.sock"
        server.listen_unix(unix_path)
        await server.start()
    except BaseException:
        await server.stop(0.0)
        if private_directory is not None:
            shutil.rmtree(private_directory, ignore_errors=True)
        raise
    return Addresses(port, address, unix_path, private_directory)


def _bracketed(host: str) -> str:
    """A host as it stands before `:port`."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
