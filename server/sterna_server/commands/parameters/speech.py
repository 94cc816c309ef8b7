"""Flags of recognition and synthesis."""

from __future__ import annotations

from typing import Annotated

import typer

Voice = Annotated[
    bool | None,
    typer.Option(
        "--voice/--no-voice",
        help="Recognise and make speech. [default: off]",
        show_default=False,
    ),
]
VoicePreload = Annotated[
    bool | None,
    typer.Option(
        "--voice-preload/--no-voice-preload",
        help="Start the speech workers with the server. [default: off]",
        show_default=False,
    ),
]
WhisperModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The recognition model: a Whisper size, or a directory. [default: base.en]",
        show_default=False,
    ),
]
TtsModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The synthesis model: a name, or a directory with a bundle. [default: english]",
        show_default=False,
    ),
]
