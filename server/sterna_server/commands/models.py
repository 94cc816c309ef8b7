"""`sterna models`: what a core can serve."""

from __future__ import annotations

import typer

from sterna_server.commands import options
from sterna_server.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("models")(models)
    # What other tools call it.
    app.command("list", hidden=True)(models)


def models(
    core: options.CoreAddress = None,
    core_tls: options.CoreTls = None,
    core_ca: options.CoreCa = None,
    home: options.Home = None,
    config: options.Config = None,
) -> None:
    """List the models of this machine, or of a running core.

    \b
    Examples:
      sterna models
      sterna models --core 127.0.0.1:50051
    """
    settings = load_settings(
        {
            "core": core,
            "core_tls": core_tls,
            "core_ca": core_ca,
            "home": home,
        },
        config,
    )
    from sterna_server.listing import list_models

    for line in list_models(settings):
        print(line)
