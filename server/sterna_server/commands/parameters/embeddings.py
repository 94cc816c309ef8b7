"""Flags of vectors of texts."""

from __future__ import annotations

from typing import Annotated

import typer

EmbeddingModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The model of embeddings: an id, or a directory. [default: the served model]",
        show_default=False,
    ),
]
EmbeddingPooling = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="How language models make vectors: mean or last. [default: mean]",
        show_default=False,
    ),
]
EmbeddingThreads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Threads of a sentence encoder. [default: half of the engine's]",
        show_default=False,
    ),
]
