"""The `sterna` command. Each subcommand lives in `commands`, and loads what it needs itself."""

from __future__ import annotations

import sys

import typer

from sterna_server.commands import (
    bench,
    chat,
    config,
    core,
    doctor,
    keys,
    models,
    rest,
    serve,
    speech,
    store,
    usage,
    version,
)
from sterna_server.errors import CommandError

app = typer.Typer(
    name="sterna",
    help="Serve ternary language models on ordinary CPUs, over gRPC and an OpenAI-compatible API.",
    epilog="Every option is also a variable (--port: STERNA_PORT) and a key of the configuration "
    "file (port). Flags win over variables, variables over the file.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    # Plain text: it fits narrow terminals, and pipes.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    serve,
    core,
    rest,
    keys,
    usage,
    chat,
    models,
    store,
    speech,
    bench,
    config,
    doctor,
    version,
):
    module.register(app)


def main() -> None:
    """Runs the command line. A bad setting, port or model is one line and exit status 2."""
    try:
        app()
    except CommandError as error:
        for line in str(error).splitlines():
            print(f"sterna: {line}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output went away, as in `sterna models | head -1`.
        sys.stderr.close()
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
