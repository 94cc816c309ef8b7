"""Flags of how the engine runs."""

from __future__ import annotations

from typing import Annotated

import typer

Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Engine threads; 0 takes what the process may use. [default: 0]",
        show_default=False,
    ),
]
MaxBatch = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Sequences that run at the same time. [default: 16]",
        show_default=False,
    ),
]
MaxQueue = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Requests that may wait; one more is refused. [default: 64]",
        show_default=False,
    ),
]
MaxBatchTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Prompt tokens computed in one step. [default: 256]",
        show_default=False,
    ),
]
KvCacheTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Capacity of the KV cache in tokens; 0 lets the engine choose. [default: 0]",
        show_default=False,
    ),
]
KvCacheDtype = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        help="How the KV cache holds its numbers: f32, bf16 or int8. [default: bf16]",
        show_default=False,
    ),
]
PrefixCache = Annotated[
    bool | None,
    typer.Option(
        "--prefix-cache/--no-prefix-cache",
        help="Reuse what prompts that begin alike have in common. [default: on]",
        show_default=False,
    ),
]
AttentionTiles = Annotated[
    bool | None,
    typer.Option(
        "--attention-tiles/--no-attention-tiles",
        help="Share passes over the KV cache; off for measurements. [default: on]",
        show_default=False,
    ),
]
Speculation = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help="Guess tokens ahead and verify them together: auto (where it pays) or off. "
        "[default: auto]",
        show_default=False,
    ),
]
MaxDraftTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Tokens guessed ahead of one answer. [default: 8]",
        show_default=False,
    ),
]
ExactHeadScreening = Annotated[
    bool | None,
    typer.Option(
        "--exact-head-screening/--no-exact-head-screening",
        help="Choose tokens from half of the bytes of a large output head. [default: on]",
        show_default=False,
    ),
]
UnembedQuant = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How output heads are held: bf16, int8, q8_0, q6_k, q5_0 or q4_0. "
        "[default: as the checkpoint has it]",
        show_default=False,
    ),
]
Sparsity = Annotated[
    bool | None,
    typer.Option(
        "--sparsity/--no-sparsity",
        help="Skip weights that the zeros of a ReLU² model make superfluous. [default: on]",
        show_default=False,
    ),
]
