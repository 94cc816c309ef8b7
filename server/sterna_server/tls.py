"""TLS for the REST listeners, and what the command line needs to call a core that speaks it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from sterna import Tls
from sterna_server.errors import CommandError
from sterna_server.sections.listener import Listener
from sterna_server.settings import Settings
from sterna_service.errors import StartupError
from sterna_service.network.certificates import CertificateFiles

Watched = Sequence[tuple[CertificateFiles, ssl.SSLContext]]

_log = logging.getLogger(__name__)

# How soon a certificate that was replaced is used.
_WATCH_SECONDS = 5.0


def rest_files(settings: Settings, listener: Listener) -> CertificateFiles | None:
    """The certificate of a REST listener; None for one without TLS.

    Raises:
        CommandError: A certificate has no key, or the other way round.
    """
    if listener.plain:
        return None
    if listener.cert or listener.key:
        # A listener with a certificate of its own says itself who vouches for clients.
        return _files(listener.cert, listener.key, listener.client_ca, "--listen: cert and key")
    files = grpc_files(settings)
    if files is not None and listener.client_ca is not None:
        return CertificateFiles(files.chain, files.key, listener.client_ca)
    return files


def grpc_files(settings: Settings) -> CertificateFiles | None:
    """The certificate of the gRPC port, and of every REST listener that has none of its own.

    Raises:
        CommandError: A certificate has no key, or the other way round.
    """
    return _files(
        settings.tls_cert, settings.tls_key, settings.tls_client_ca, "--tls-cert and --tls-key"
    )


def core_tls(settings: Settings) -> Tls | None:
    """How to call the core at `settings.core`; None without TLS.

    Raises:
        CommandError: A file cannot be read.
    """
    paths = (settings.core_ca, settings.core_cert, settings.core_key)
    if not (settings.core_tls or settings.core_name or any(paths)):
        return None
    if bool(settings.core_cert) != bool(settings.core_key):
        raise CommandError("--core-cert and --core-key need each other")
    authority, chain, key = (None if path is None else _read(path) for path in paths)
    return Tls(
        root_certificates=authority,
        certificate_chain=chain,
        private_key=key,
        server_name=settings.core_name,
    )


@contextlib.asynccontextmanager
async def watching(
    watched: Watched,
) -> AsyncIterator[None]:
    """While inside, contexts follow their files: connections made later get what these hold then.

    Authorities of clients are only added; one that was taken out counts until the next start.
    """
    task = asyncio.create_task(_watch(watched)) if watched else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _watch(watched: Watched) -> None:
    stamps = [files.stamp() for files, _ in watched]
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        for index, (files, context) in enumerate(watched):
            stamp = files.stamp()
            if stamp == stamps[index]:
                continue
            stamps[index] = stamp
            try:
                # What does not fit must not come near the context in use.
                files.context()
                files.load_into(context)
            except StartupError as error:
                _log.error(
                    "a new certificate of REST cannot be used; the old one stays",
                    extra={"problem": str(error)},
                )
            else:
                _log.info("REST has a new certificate", extra={"file": str(files.chain)})


def _files(
    chain: Path | None, key: Path | None, authority: Path | None, names: str
) -> CertificateFiles | None:
    if chain is not None and key is not None:
        return CertificateFiles(chain, key, authority)
    if chain is not None or key is not None:
        raise CommandError(f"{names} need each other: a certificate, and its private key")
    if authority is not None:
        raise CommandError("--tls-client-ca needs --tls-cert and --tls-key")
    return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}") from None
