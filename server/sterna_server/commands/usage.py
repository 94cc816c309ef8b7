"""`sterna usage`: what was used, from the database."""

from __future__ import annotations

from typing import Annotated

import typer

from sterna_server.commands import parameters
from sterna_server.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("usage")(usage)


def usage(
    days: Annotated[
        int, typer.Option(metavar="N", min=1, max=3650, help="So many days until today, in UTC.")
    ] = 30,
    model: Annotated[
        str,
        typer.Option(metavar="ORG/NAME", help="Only this model. [default: all]"),
    ] = "",
    key: Annotated[str, typer.Option(metavar="ID", help="Only this key. [default: all]")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
) -> None:
    """Say how many tokens and how much audio was used, by day, model and API key.

    A running server writes what it counted every ten seconds.

    \b
    Examples:
      sterna usage
      sterna usage --days 7 --json
    """
    settings = load_settings({"home": home}, config)
    from sterna_server.usage import as_objects, as_table, read_usage

    records = read_usage(settings, days, model, key)
    if as_json:
        print(as_objects(records))
    else:
        print("\n".join(as_table(records)))
