"""`sterna bench`: how fast the engine is on this machine."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Annotated

import typer

from sterna_server.commands import parameters
from sterna_server.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("bench")(bench)


def bench(
    model: parameters.models.Model = None,
    shape: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Random weights in the shape of a published model, such as bitnet-2b-4t; "
            "written on first use (1.2 GB).",
            show_default=False,
        ),
    ] = "",
    only: Annotated[
        str,
        typer.Option(
            metavar="PARTS",
            help="Some of decode, prefill, batched, first-token and fairness. [default: all]",
            show_default=False,
        ),
    ] = "",
    threads: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Engine threads to measure with. [default: 1 and all]",
            show_default=False,
        ),
    ] = "",
    prompt: Annotated[int, typer.Option(metavar="N", min=1, help="Tokens of the prefill.")] = 512,
    generate: Annotated[
        int, typer.Option(metavar="N", min=2, help="Tokens that one stream decodes.")
    ] = 128,
    streams: Annotated[
        str, typer.Option(metavar="LIST", help="Streams of the batched decoding.")
    ] = "1,2,4,8,16,32",
    batched_prompt: Annotated[
        int, typer.Option(metavar="N", min=1, help="Tokens of each stream's prompt, batched.")
    ] = 128,
    batched_generate: Annotated[
        int, typer.Option(metavar="N", min=2, help="Tokens that each stream decodes, batched.")
    ] = 64,
    prefix: Annotated[
        int, typer.Option(metavar="N", min=1, help="Tokens of the cached prefix.")
    ] = 2000,
    late_prompt: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Tokens of the prompt that disturbs four streams."),
    ] = 1000,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rounds of each figure; the median counts.")
    ] = 5,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="Engine settings to compare with the defaults, in the same run; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON with the value of every round.")
    ] = False,
    unembed_quant: parameters.engine.UnembedQuant = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
) -> None:
    """Measure the engine's speed, beside what this machine could do at best.

    Each figure is the median of some rounds after one that warms up, with the lowest and the
    highest. The floor is measured in the same run; docs/performance.md says how to read it.

    \b
    Examples:
      sterna bench                                     the embedded model
      sterna bench --shape bitnet-2b-4t --only decode,prefill
      sterna bench ./my-checkpoint --threads 1,4 --streams 1,8
      sterna bench --variant max_batch_tokens=512      compared with the defaults
      sterna bench --json > today.json
    """
    settings = load_settings({"model": model, "unembed_quant": unembed_quant, "home": home}, config)

    from sterna_server.bench.plan import (
        DEFAULTS,
        PARTS,
        Plan,
        parse_numbers,
        parse_parts,
        parse_variant,
    )
    from sterna_server.bench.run import run_plan
    from sterna_server.bench.subject import find_subject
    from sterna_service.engine.host import inspect_host

    def tell(text: str) -> None:
        print(f"sterna: {text} ...", file=sys.stderr, flush=True)

    budget = inspect_host().threads
    plan = Plan(
        parts=parse_parts(only) if only else PARTS,
        threads=tuple(sorted({1, budget})),
        prompt=prompt,
        generate=generate,
        streams=parse_numbers("--streams", streams, least=1, most=1024),
        batched_prompt=batched_prompt,
        batched_generate=batched_generate,
        prefix=prefix,
        fairness_prompt=late_prompt,
        rounds=rounds,
        variants=(DEFAULTS, *(parse_variant(text) for text in variant or ())),
    )
    if threads:
        chosen = parse_numbers("--threads", threads, least=1, most=1024)
        plan = replace(plan, threads=chosen)
    subject = find_subject(settings.model, shape, settings.home, tell, settings.unembed_quant)
    result = run_plan(subject, plan, tell)
    if as_json:
        print(json.dumps(result.to_json(), indent=1))
    else:
        print("\n".join(result.to_lines()))
