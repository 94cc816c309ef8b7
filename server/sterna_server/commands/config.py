"""`sterna config`: the settings that would be used, and where each comes from."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna_server.commands import rest, serve
from sterna_server.settings import resolve, unknown_variables

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Defaults = Annotated[
    bool,
    typer.Option("--defaults", help="Print a configuration file with every setting, instead."),
]


def register(app: typer.Typer) -> None:
    app.command("config")(_with_options_of(serve.serve, rest.rest)(config))


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


def _with_options_of(
    *commands: Callable[..., None],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of others, beside its own."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = {"as_json": AsJson, "defaults": Defaults}
        parameters = {
            name: inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation
            )
            for name, annotation in own.items()
        }
        for other in commands:
            for name, each in inspect.signature(other, eval_str=True).parameters.items():
                parameters[name] = each.replace(kind=inspect.Parameter.KEYWORD_ONLY)

        def run(**values: Any) -> None:
            command(**values)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {name: each.annotation for name, each in parameters.items()}
        return run

    return decorate
