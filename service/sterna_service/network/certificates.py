"""The files with which a listener proves who it is, and recognises its clients."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from sterna_service.errors import StartupError


@dataclass(frozen=True, slots=True)
class Certificates:
    """The contents of the files, as PEM."""

    chain: bytes
    key: bytes
    client_authority: bytes | None


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the files are."""

    chain: Path
    """The server's certificate, and those between it and its authority."""
    key: Path
    """Its private key, without a password."""
    client_authority: Path | None = None
    """Whoever vouches for clients; with it, a client without a certificate is not let in."""

    def read(self) -> Certificates:
        """The contents, which fit each other.

        Raises:
            StartupError: A file cannot be read, is no PEM, or the key is that of another
                certificate; the message names the file.
        """
        chain, key = _read(self.chain), _read(self.key)
        authority = _read(self.client_authority) if self.client_authority else None
        self.context()
        return Certificates(chain, key, authority)

    def context(self) -> ssl.SSLContext:
        """A context for servers that use `ssl`. Raises as `read`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.load_into(context)
        if self.client_authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def load_into(self, context: ssl.SSLContext) -> None:
        """Has a context use what the files hold now. Raises as `read`."""
        try:
            # A password would be asked for on the terminal.
            context.load_cert_chain(self.chain, self.key, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            raise StartupError(
                f"{self.chain} and {self.key}: are not a certificate and its key, as PEM and "
                f"without a password ({_reason(error)})"
            ) from None
        if self.client_authority is None:
            return
        try:
            context.load_verify_locations(self.client_authority)
        except (ssl.SSLError, OSError) as error:
            raise StartupError(
                f"{self.client_authority}: holds no certificates as PEM ({_reason(error)})"
            ) from None

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when one of the files does."""
        found = []
        for path in (self.chain, self.key, self.client_authority):
            if path is None:
                continue
            try:
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, state.st_ino))
            except OSError:
                # Between two files, while one replaces the other.
                found.append((0, 0, 0))
        return tuple(found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"{path}: cannot be read: {error.strerror}") from None


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or "unreadable"
