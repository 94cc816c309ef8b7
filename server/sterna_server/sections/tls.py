"""TLS, for the server's ports and for calls to a core."""

from __future__ import annotations

from pydantic import BaseModel

from sterna_server.sections.kinds import HomePath


class TlsSettings(BaseModel):
    """TLS."""

    tls_cert: HomePath | None = None
    """The server's certificate as PEM, with those between it and its authority. With it, REST and
    gRPC speak TLS."""
    tls_key: HomePath | None = None
    """Its private key as PEM, without a password."""
    tls_client_ca: HomePath | None = None
    """Whoever vouches for clients, as PEM: clients without a certificate of theirs stay outside."""
    core_tls: bool = False
    """Whether the core that `core` names speaks TLS, with a certificate that the system trusts."""
    core_ca: HomePath | None = None
    """Whoever vouches for that core instead, as PEM; implies `core_tls`."""
    core_cert: HomePath | None = None
    """The certificate with which to call a core that asks its clients for one."""
    core_key: HomePath | None = None
    """Its private key."""
    core_name: str = ""
    """The name in that core's certificate, where it is not the host of `core`."""
