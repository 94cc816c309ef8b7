"""Flags of what a request may take."""

from __future__ import annotations

from typing import Annotated

import typer

RequestTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="The longest one generation may take, in seconds. [default: 600]",
        show_default=False,
    ),
]
Grace = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Seconds that running requests get when the server stops. [default: 30]",
        show_default=False,
    ),
]
