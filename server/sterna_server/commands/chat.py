"""`sterna chat`: a conversation in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sterna_server.commands import parameters
from sterna_server.sections.models import own_adapter
from sterna_server.settings import load_settings

if TYPE_CHECKING:
    from sterna import ChatOptions


def register(app: typer.Typer) -> None:
    app.command("chat")(chat)


def chat(
    model: parameters.models.Model = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="ADAPTER",
            help="A LoRA adapter: a directory or one of the store; with --core, one that is loaded "
            "there.",
            show_default=False,
        ),
    ] = None,
    core: parameters.listeners.CoreAddress = None,
    core_tls: parameters.tls.CoreTls = None,
    core_ca: parameters.tls.CoreCa = None,
    system: Annotated[
        str, typer.Option(metavar="TEXT", help="The system prompt.", show_default=False)
    ] = "",
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            min=0,
            max=2,
            help="0 always takes the most likely token. [default: the model's]",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="The longest answer, in tokens. [default: what fits]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Makes sampled answers repeatable.", show_default=False),
    ] = None,
    threads: parameters.engine.Threads = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
    log_level: Annotated[
        str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")
    ] = "warning",
) -> None:
    """Chat with a model in the terminal.

    Without --core the model runs in this process and no server is needed. In a pipe, each line of
    input is a question and each answer ends with a line break.

    \b
    Examples:
      sterna chat                                      the embedded model
      sterna chat ./my-checkpoint --system "Be brief."
      sterna chat --adapter ./my-adapter               with a LoRA adapter
      sterna chat --core 127.0.0.1:50051               the model of a running server
      echo "What is the capital of France?" | sterna chat
    """
    settings = load_settings(
        {
            "model": model,
            "core": core,
            **({} if adapter is None or core else own_adapter(adapter)),
            "core_tls": core_tls,
            "core_ca": core_ca,
            "threads": threads,
            "home": home,
            # Not the setting of servers: here a log would stand between the answers.
            "log_level": log_level,
        },
        config,
    )

    from sterna_server.chat.run import chat as run_chat
    from sterna_service.telemetry.logs import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    answers: ChatOptions = {}
    if adapter is not None and settings.core:
        answers["adapter"] = adapter
    if temperature is not None:
        answers["temperature"] = temperature
    if max_tokens is not None:
        answers["max_tokens"] = max_tokens
    if seed is not None:
        answers["seed"] = seed
    if not run_chat(settings, system=system, options=answers):
        sys.exit(1)
