"""Flags of who may call the server."""

from __future__ import annotations

from typing import Annotated

import typer

Auth = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help="Whether requests need an API key: off, or keys (see sterna keys). [default: off]",
        show_default=False,
    ),
]
AllowUnauthenticated = Annotated[
    bool | None,
    typer.Option(
        "--allow-unauthenticated",
        help="Listen without keys where other machines reach it, too.",
        show_default=False,
    ),
]
