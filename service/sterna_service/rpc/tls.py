"""TLS for the gRPC port."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import cast

import grpc

from sterna_service.errors import StartupError
from sterna_service.network.certificates import CertificateFiles

_log = logging.getLogger(__name__)


def server_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """Credentials that follow their files: each new connection gets what these hold then.

    Raises:
        StartupError: The files cannot be used now. When that happens later, the old ones stay.
    """
    initial = _configuration(files)
    # The types know nothing of None, which says that nothing has changed.
    fetcher = cast(Callable[[], grpc.ServerCertificateConfiguration], _Fetcher(files))
    return grpc.dynamic_ssl_server_credentials(initial, fetcher, files.client_authority is not None)


class _Fetcher:
    """Asked at each handshake, by threads of gRPC."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._stamp = files.stamp()
        self._lock = threading.Lock()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        with self._lock:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            try:
                configuration = _configuration(self._files)
            except StartupError as error:
                _log.error(
                    "the new certificate of the gRPC port cannot be used; the old one stays",
                    extra={"problem": str(error)},
                )
                return None
            _log.info("the gRPC port has a new certificate", extra={"file": str(self._files.chain)})
            return configuration


def _configuration(files: CertificateFiles) -> grpc.ServerCertificateConfiguration:
    found = files.read()
    return grpc.ssl_server_certificate_configuration(
        [(found.key, found.chain)], found.client_authority
    )
