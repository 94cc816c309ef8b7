"""The flag that names the configuration file; it is no setting itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A TOML file with settings. Default: config.toml in the home directory, if present.",
        show_default=False,
    ),
]
