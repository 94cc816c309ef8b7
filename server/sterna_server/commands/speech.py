"""`sterna transcribe`, `speak` and `voices`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sterna_server.commands import parameters
from sterna_server.settings import Settings, load_settings

_Model = Annotated[
    str,
    typer.Option("--model", "-m", metavar="NAME", help="The model.", show_default=False),
]
_LogLevel = Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")]


def register(app: typer.Typer) -> None:
    app.command("transcribe")(transcribe)
    app.command("speak")(speak)
    app.command("voices")(voices)


def transcribe(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.", show_default=False)],
    model: _Model = "",
    language: Annotated[
        str,
        typer.Option(
            metavar="LANGUAGE",
            help="The language spoken: a code (en) or a name. [default: detected]",
            show_default=False,
        ),
    ] = "",
    translate: Annotated[bool, typer.Option("--translate", help="Into English.")] = False,
    format: Annotated[
        Literal["text", "json", "srt", "vtt"],
        typer.Option("--format", "-f", help="What is printed."),
    ] = "text",
    core: parameters.listeners.CoreAddress = None,
    core_ca: parameters.tls.CoreCa = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
    log_level: _LogLevel = "warning",
) -> None:
    """Print what is said in a recording.

    Without --core this process does it itself; the weights come from `sterna pull --voice`.

    \b
    Examples:
      sterna transcribe interview.mp3
      sterna transcribe talk.m4a --format srt > talk.srt
    """
    settings = _settings(core, core_ca, home, config, log_level)
    from sterna_server.speech.transcribing import transcribe as run_transcribe

    print(
        run_transcribe(
            settings, file, model=model, language=language, translate=translate, form=format
        )
    )


def speak(
    text: Annotated[
        str,
        typer.Argument(metavar="TEXT", help="What to say; - reads it.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A file: .wav, .mp3, .opus, .aac, .flac or .pcm.",
            show_default=False,
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play", help="Through the loudspeaker.")] = False,
    voice: Annotated[
        str,
        typer.Option("--voice", metavar="ID", help="[default: alba]", show_default=False),
    ] = "",
    model: _Model = "",
    speed: Annotated[float, typer.Option(metavar="NUMBER", help="0.25 to 4.")] = 1.0,
    core: parameters.listeners.CoreAddress = None,
    core_ca: parameters.tls.CoreCa = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
    log_level: _LogLevel = "warning",
) -> None:
    """Speak a text.

    Without --core this process does it itself; the weights come from `sterna pull --voice`.

    \b
    Examples:
      sterna speak "Terns fly far." -o terns.mp3
      echo "Terns fly far." | sterna speak - --play
    """
    settings = _settings(core, core_ca, home, config, log_level)
    from sterna_server.speech.speaking import speak as run_speak

    if text == "-":
        text = sys.stdin.read()
    run_speak(settings, text, voice=voice, model=model, speed=speed, output=output, play=play)


def voices(
    core: parameters.listeners.CoreAddress = None,
    core_ca: parameters.tls.CoreCa = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
    log_level: _LogLevel = "warning",
) -> None:
    """List the voices of this machine, or of a running core.

    \b
    Examples:
      sterna voices
      sterna voices --core 127.0.0.1:50051
    """
    settings = _settings(core, core_ca, home, config, log_level)
    from sterna_server.speech.listing import list_voices

    print("\n".join(list_voices(settings)))


def _settings(
    core: str | None,
    core_ca: Path | None,
    home: Path | None,
    config: Path | None,
    log_level: str,
) -> Settings:
    # A core of our own has speech, whatever the file says about servers.
    flags = {"core": core, "core_ca": core_ca, "home": home, "log_level": log_level, "voice": True}
    settings = load_settings(flags, config)
    from sterna_service.telemetry.logs import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    return settings
