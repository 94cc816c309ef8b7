"""`sterna version`: what is installed, and what the engine uses here."""

from __future__ import annotations

import platform

import typer

from sterna_server import versions


def register(app: typer.Typer) -> None:
    app.command("version")(version)


def version() -> None:
    """Print versions, and what the engine can use on this machine.

    \b
    Example:
      sterna version
    """
    print(f"sterna-server {versions.server_version()}")
    print(f"sterna        {versions.client_version()}")
    print(f"python        {platform.python_version()}")
    print(f"engine        {_engine()}")


def _engine() -> str:
    from sterna_service.engine.host import inspect_host

    try:
        host = inspect_host()
    except ImportError as error:
        return f"not available ({error})"
    return f"kernels {', '.join(host.kernels)}; {host.threads} threads"
