"""`sterna pull`, `import`, `list`, `show`, `verify`, `quantize` and `rm`: the model store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sterna_server.commands import parameters
from sterna_server.errors import CommandError
from sterna_server.settings import load_settings

_Name = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An id (ORG/NAME), the end of one, or a directory.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    app.command("pull")(pull)
    app.command("import")(import_model)
    app.command("show")(show)
    app.command("verify")(verify)
    app.command("quantize")(quantize)
    app.command("rm")(remove)


def pull(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="ORG/NAME[@REVISION]",
            help="A model of the hub, and perhaps a branch, tag or commit; with --voice, the name "
            "of speech weights. [default with --voice: those that the settings name]",
            show_default=False,
        ),
    ] = None,
    voice: Annotated[
        bool, typer.Option("--voice", help="Bring weights of speech.", show_default=False)
    ] = False,
    cloning: Annotated[
        bool,
        typer.Option(
            "--cloning",
            help="With --voice: synthesis weights that can make voices; they are gated.",
            show_default=False,
        ),
    ] = False,
    hub_endpoint: parameters.models.HubEndpoint = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
) -> None:
    """Download a model into the store. What an interrupted download has brought is kept.

    \b
    HF_TOKEN names the user of gated and private models.
    Examples:
      sterna pull microsoft/bitnet-b1.58-2B-4T
      HF_TOKEN=hf_... sterna pull tiiuae/Falcon-E-1B-Instruct@main
      sterna pull --voice                   base.en and english, for sterna serve --voice
      sterna pull --voice small             another Whisper
    """
    settings = load_settings({"home": home, "hub_endpoint": hub_endpoint}, config)
    if voice:
        from sterna_server.store.speech import pull_speech

        print("\n".join(pull_speech(settings, source, cloning=cloning)))
        return
    if source is None:
        raise CommandError("name a model of the hub (ORG/NAME), or give --voice")
    from sterna_server.store.pulling import pull_model

    print(pull_model(settings, source))


def import_model(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A checkpoint directory, a GGUF file, or the directory of a LoRA adapter.",
            show_default=False,
        ),
    ],
    id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ORG/NAME",
            help="What the model is called. [default: local/ and the directory's name]",
            show_default=False,
        ),
    ] = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
) -> None:
    """Copy a checkpoint, or a LoRA adapter, into the store.

    \b
    Examples:
      sterna import ./my-checkpoint --id me/my-model
      sterna import ./my-adapter --id me/my-adapter
    """
    settings = load_settings({"home": home}, config)
    from sterna_server.store.models import take_in

    print(f"{take_in(settings, path, id)} is in the store")


def show(
    name: _Name, home: parameters.models.Home = None, config: parameters.configuration.Config = None
) -> None:
    """Say what a model is.

    \b
    Example:
      sterna show tern-nano
    """
    settings = load_settings({"home": home}, config)
    from sterna_server.store.models import describe_lines

    for line in describe_lines(settings, name):
        print(line)


def verify(
    name: _Name, home: parameters.models.Home = None, config: parameters.configuration.Config = None
) -> None:
    """Compare a model's files with their digests. The exit status is 1 when one has changed.

    \b
    Example:
      sterna verify microsoft/bitnet-b1.58-2B-4T
    """
    settings = load_settings({"home": home}, config)
    from sterna_server.store.models import verify as problems_of

    problems = problems_of(settings, name)
    for line in problems:
        print(line)
    if problems:
        raise typer.Exit(1)
    print("every file is as it was stored")


def quantize(
    name: _Name,
    unembed_quant: parameters.engine.UnembedQuant = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
) -> None:
    """Pack a model for the engine now, so that its first load takes milliseconds.

    Weights that are ternary already keep their values; others are rounded as their configuration
    says. The packed form, a bundle, lies in `bundles/` of the home directory.

    \b
    Examples:
      sterna quantize microsoft/bitnet-b1.58-2B-4T
      sterna quantize microsoft/bitnet-b1.58-2B-4T --unembed-quant q8_0
    """
    settings = load_settings({"home": home, "unembed_quant": unembed_quant}, config)
    from sterna_server.store.models import pack

    for line in pack(settings, name):
        print(line)


def remove(
    model_id: Annotated[
        str, typer.Argument(metavar="ORG/NAME", help="The full id.", show_default=False)
    ],
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
) -> None:
    """Delete a model of the store, with its packed form.

    A server that has it loaded goes on with it until it is unloaded.

    \b
    Example:
      sterna rm microsoft/bitnet-b1.58-2B-4T
    """
    settings = load_settings({"home": home}, config)
    from sterna_server.listing import size_text
    from sterna_server.store.models import remove as remove_model

    print(f"{model_id} is deleted ({size_text(remove_model(settings, model_id))})")
