"""Flags of how much each client may do."""

from __future__ import annotations

from typing import Annotated

import typer

LimitRequests = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Requests of one client per minute; 0: no limit. [default: 100, none on loopback]",
        show_default=False,
    ),
]
LimitTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Tokens of one client per minute; 0: no limit. [default: no limit]",
        show_default=False,
    ),
]
LimitConcurrent = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Requests of one client at a time; 0: no limit. [default: 10, none on loopback]",
        show_default=False,
    ),
]
LimitStreams = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Streams of one client at a time; 0: no limit. [default: 5, none on loopback]",
        show_default=False,
    ),
]
LimitUpload = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Largest request, such as 20MiB; 0: no limit. [default: 100MiB, none on loopback]",
        show_default=False,
    ),
]
TrustedProxies = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="A proxy or façade that may say who its clients are; may be repeated.",
        show_default=False,
    ),
]
