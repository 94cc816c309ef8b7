"""Flags of which models are served, and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A checkpoint directory, or the id of a model in the store (ORG/NAME). "
        "Default: the embedded model.",
        show_default=False,
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        metavar="DIRECTORY",
        help="Where models and packed bundles live. [default: ~/.sterna]",
        show_default=False,
    ),
]
Preload = Annotated[
    bool | None,
    typer.Option(
        "--preload/--no-preload",
        help="Load the model at the start, and not with the first request. [default: on]",
        show_default=False,
    ),
]
Adapter = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=PATH",
        help="A LoRA adapter of the model: a directory, or one of the store. May be repeated.",
        show_default=False,
    ),
]
DefaultAdapter = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The adapter of requests that name none. [default: the model alone]",
        show_default=False,
    ),
]
AdapterPrecision = Annotated[
    str | None,
    typer.Option(
        metavar="PRECISION",
        help="How adapters are held: none, bf16, int8, q8_0 or q4_0. [default: none]",
        show_default=False,
    ),
]
Harness = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What chats go through: default, or search. [default: default]",
        show_default=False,
    ),
]
SearchProvider = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where the search harness searches: ddgs or brave. [default: ddgs]",
        show_default=False,
    ),
]
HubEndpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where models are pulled from. [default: HF_ENDPOINT, or the public hub]",
        show_default=False,
    ),
]
Autoload = Annotated[
    bool | None,
    typer.Option(
        "--autoload/--no-autoload",
        help="Load a model of the store when a request names it. [default: on]",
        show_default=False,
    ),
]
KeepAlive = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="How long a model stays loaded without a request; -1: for good. [default: -1]",
        show_default=False,
    ),
]
ModelMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What the loaded models may take together, for example 16GiB. "
        "[default: four fifths of the memory]",
        show_default=False,
    ),
]
