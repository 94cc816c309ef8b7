"""`sterna config`: the settings that would be used, and where each comes from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna_server.commands import rest, serve
from sterna_server.commands.borrowed import with_options_of
from sterna_server.settings import resolve, unknown_variables

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Defaults = Annotated[
    bool,
    typer.Option("--defaults", help="Print a configuration file with every setting, instead."),
]


def register(app: typer.Typer) -> None:
    borrow = with_options_of(serve.serve, rest.rest, as_json=AsJson, defaults=Defaults)
    app.command("config")(borrow(config))


def config(as_json: bool, defaults: bool, config: Path | None, **flags: Any) -> None:
    """Print the effective settings, and where each value comes from.

    It takes the options of `sterna serve` and `sterna rest`, reads the same variables and the same
    file, and starts nothing. Secrets are masked. The exit status is 2 when a server would not
    accept the settings.

    \b
    Examples:
      sterna config                                what a server would use here
      sterna config --config /etc/sterna/config.toml --threads 8
      sterna config --json | jq .port
      sterna config --defaults > config.toml       a file to start from
    """
    from sterna_server import configuration

    if defaults:
        print(configuration.example())
        return
    resolved = resolve(flags, config)
    print(configuration.as_json(resolved) if as_json else configuration.as_toml(resolved))
    for line in unknown_variables():
        print(f"sterna: {line}", file=sys.stderr)
