"""`sterna keys`: who may call the server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sterna_server.commands import parameters
from sterna_server.settings import load_settings

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Make, list and revoke API keys, with which a server with --auth keys is called.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("create")(create)
    group.command("list")(list_keys)
    group.command("revoke")(revoke)
    app.add_typer(group, name="keys")


def create(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="What the key is for, for lists.", show_default=False),
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What it allows: inference, speech, admin or metrics; may be repeated. "
            "[default: inference and speech]",
            show_default=False,
        ),
    ] = None,
    expires: Annotated[
        str,
        typer.Option(
            metavar="WHEN",
            help="How long it is good (90d, 12h, 30m), or a date (2030-01-31). [default: for good]",
            show_default=False,
        ),
    ] = "",
    requests: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Requests per minute; 0: no limit. [default: the listener's]"
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens per minute; 0: no limit. [default: the listener's]"),
    ] = None,
    concurrent: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Requests at the same time; 0: no limit. [default: the listener's]"
        ),
    ] = None,
    streams: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Streams at the same time; 0: no limit. [default: the listener's]"
        ),
    ] = None,
    upload: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Largest request, for example 20MiB; 0: no limit. [default: the listener's]",
            show_default=False,
        ),
    ] = None,
    as_json: _AsJson = False,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
) -> None:
    """Make an API key. It is shown once: the server keeps only a hash of it.

    The key alone goes to standard output, everything else to standard error. A running server
    accepts it within a second.

    \b
    Examples:
      sterna keys create laptop
      sterna keys create ci --scope inference --expires 90d --requests 60
      sterna keys create ops --scope admin --scope metrics
      export STERNA_API_KEY=$(sterna keys create me)
    """
    settings = load_settings({"home": home}, config)
    from sterna_server.keys.commands import create_key
    from sterna_server.keys.reading import limits_of

    limits = limits_of(
        requests=requests, tokens=tokens, concurrent=concurrent, streams=streams, upload=upload
    )
    made = create_key(settings, name, scope or ["inference", "speech"], expires, limits)
    if as_json:
        print(made.to_json())
        return
    print(made.key, flush=True)
    print(f"sterna: {made.summary}; it is not shown again", file=sys.stderr)


def list_keys(
    every: Annotated[
        bool, typer.Option("--all", help="Those that were revoked or have expired, too.")
    ] = False,
    as_json: _AsJson = False,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
) -> None:
    """List the API keys: what they allow, until when, and when they were last used.

    \b
    Examples:
      sterna keys list
      sterna keys list --all --json
    """
    settings = load_settings({"home": home}, config)
    from sterna_server.keys.commands import listed_keys
    from sterna_server.keys.table import as_objects, as_table

    keys = listed_keys(settings, every=every)
    print(as_objects(keys) if as_json else "\n".join(as_table(keys)))


def revoke(
    key: Annotated[
        str,
        typer.Argument(metavar="KEY", help="Its id or its name; see `sterna keys list`."),
    ],
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
) -> None:
    """Revoke an API key, for good. A running server refuses it within a second.

    \b
    Examples:
      sterna keys revoke laptop
    """
    settings = load_settings({"home": home}, config)
    from sterna_server.keys.commands import revoke_key

    print(revoke_key(settings, key))
