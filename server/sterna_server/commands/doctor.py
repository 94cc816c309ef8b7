"""`sterna doctor`: looks at the machine and the settings before a server does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sterna_server.commands import rest, serve
from sterna_server.commands.borrowed import with_options_of

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    app.command("doctor")(with_options_of(serve.serve, rest.rest, as_json=AsJson)(doctor))


def doctor(as_json: bool, config: Path | None, **flags: Any) -> None:
    """Check what a server would find here: processor, memory, disk, models, ports, database.

    It takes the options of `sterna serve` and `sterna rest`, changes nothing and loads no model.
    The exit status is 0 when a server would start and do what the settings ask for, and 1
    otherwise; warnings do not count.

    \b
    Examples:
      sterna doctor
      sterna doctor --voice --host 0.0.0.0
      sterna doctor --json | jq '.findings[] | select(.verdict != "ok")'
    """
    from sterna_server.doctor import run

    findings = run.examine(flags, config)
    print(run.as_json(findings) if as_json else run.as_text(findings))
    if not run.is_well(findings):
        raise typer.Exit(1)
