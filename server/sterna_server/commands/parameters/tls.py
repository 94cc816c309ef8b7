"""Flags of TLS, for the server's ports and for calls to a core."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TlsCert = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Speak TLS with this certificate (PEM), on both ports.",
        show_default=False,
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The certificate's private key (PEM).", show_default=False),
]
TlsClientCa = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Let in only clients with a certificate of this authority (PEM).",
        show_default=False,
    ),
]
CoreTls = Annotated[
    bool | None,
    typer.Option(
        "--core-tls",
        help="The core speaks TLS, with a certificate that the system trusts.",
        show_default=False,
    ),
]
CoreCa = Annotated[
    Path | None,
    typer.Option(
        "--core-ca",
        "--ca",
        metavar="FILE",
        help="The core speaks TLS, with a certificate of this authority (PEM).",
        show_default=False,
    ),
]
CoreCert = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The certificate (PEM) to show to a core that asks for one.",
        show_default=False,
    ),
]
CoreKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="That certificate's private key.", show_default=False),
]
CoreName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The name in the core's certificate. [default: the host of --core]",
        show_default=False,
    ),
]
