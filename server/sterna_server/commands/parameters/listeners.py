"""Flags of where the server listens, and where a core does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the REST listener. [default: 127.0.0.1]",
        show_default=False,
    ),
]
RestPort = Annotated[
    int | None,
    typer.Option(
        "--port",
        "-p",
        metavar="PORT",
        help="Port of the REST listener; 0 takes any free one. [default: 8000]",
        show_default=False,
    ),
]
Listen = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST:PORT[,ollama]",
        help="A further REST listener; with ,ollama it speaks Ollama's API. May be repeated.",
        show_default=False,
    ),
]
CorsOrigins = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ORIGIN",
        help="Web pages of this origin may call from a browser; may be repeated; * is all.",
        show_default=False,
    ),
]
GrpcHost = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the gRPC listener. [default: 127.0.0.1]",
        show_default=False,
    ),
]
GrpcPort = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        help="Port of the gRPC listener; 0 takes any free one. [default: 50051]",
        show_default=False,
    ),
]
UnixPath = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="A Unix socket for gRPC, beside the TCP listener. [default: a private one]",
        show_default=False,
    ),
]
CoreAddress = Annotated[
    str | None,
    typer.Option(
        "--core",
        metavar="ADDRESS",
        help="The gRPC core to use: HOST:PORT or unix:/PATH.",
        show_default=False,
    ),
]
