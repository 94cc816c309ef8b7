"""`sterna models`: what a core can serve."""

from __future__ import annotations

import typer

from sterna_server.commands import parameters
from sterna_server.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("models")(models)
    # What other tools call it.
    app.command("list", hidden=True)(models)


def models(
    core: parameters.listeners.CoreAddress = None,
    core_tls: parameters.tls.CoreTls = None,
    core_ca: parameters.tls.CoreCa = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
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
