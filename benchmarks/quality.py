#!/usr/bin/env python3
"""Perplexity of a model under every choice of precision, on a text that it was not trained on.

    .venv/bin/python benchmarks/quality.py                        # all choices, embedded model
    .venv/bin/python benchmarks/quality.py --variant prefix_cache=off ./my-checkpoint

held_out.txt holds short stories written for this file, in the words that the embedded model knows.
Each variant is compared with the first row: the change of the perplexity, the largest change of any
token's log-probability, and how often the same token is the most likely one.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from tokenizers import Tokenizer

from sterna_server.bench.plan import Variant, parse_variant
from sterna_server.bench.result import align
from sterna_server.bench.subject import find_subject
from sterna_service.engine.trial import Scored, Trial, find_bundle
from sterna_service.engine.types import EngineOptions, HeadPrecision

TEXT = Path(__file__).with_name("held_out.txt")
HOME = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
# Every choice of precision that the engine has; the first row is the most exact.
CHOICES = ("kv_cache_dtype=f32", "kv_cache_dtype=bf16", "kv_cache_dtype=int8")
# Each is packed by itself, and read with the engine's defaults.
HEADS: tuple[HeadPrecision, ...] = ("bf16", "int8", "q8_0", "q6_k", "q5_0", "q4_0")


def documents(tokenizer: Tokenizer, text: Path, length: int) -> list[list[int]]:
    """The text as token ids, in pieces of at most `length`."""
    ids = tokenizer.encode(text.read_text(encoding="utf-8"), add_special_tokens=False).ids
    return [ids[begin : begin + length] for begin in range(0, len(ids), length)]


def score(bundle: Path, variant: Variant, texts: list[list[int]]) -> list[Scored]:
    options = EngineOptions(max_batch=1, prefix_cache=False)
    with Trial.open(bundle, variant.apply(options)) as trial:
        return [scored for text in texts for scored in trial.score(text)]


def perplexity(scored: list[Scored]) -> float:
    return math.exp(-sum(one.logprob for one in scored) / len(scored))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="", help="a checkpoint directory")
    parser.add_argument(
        "--variant", action="append", default=[], help="settings, as in sterna bench --variant"
    )
    parser.add_argument("--text", type=Path, default=TEXT, help="a file (held_out.txt)")
    parser.add_argument("--length", type=int, default=1000, help="tokens of a piece (1000)")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    subject = find_subject(options.model, "", HOME, lambda text: print(text, file=sys.stderr))
    if subject.checkpoint is None:
        raise SystemExit(
            "error: name a checkpoint directory, which has the tokenizer, not a bundle"
        )
    tokenizer = Tokenizer.from_file(str(subject.checkpoint / "tokenizer.json"))
    texts = documents(tokenizer, options.text, options.length)
    variants = [(parse_variant(text), subject.bundle) for text in CHOICES]
    if options.variant:
        chosen = [Variant("defaults", ()), *map(parse_variant, options.variant)]
        variants = [(variant, subject.bundle) for variant in chosen]
    else:
        name = subject.name.rpartition("/")[2]
        variants += [
            (
                Variant(f"unembed_quant={head}", ()),
                find_bundle(subject.checkpoint, name, HOME, head),
            )
            for head in HEADS
        ]
    rows = [["settings", "perplexity", "change", "largest change, nats", "same best token"]]
    base: list[Scored] = []
    for variant, bundle in variants:
        scored = score(bundle, variant, texts)
        base = base or scored
        pairs = list(zip(base, scored, strict=True))
        row = [variant.name, f"{perplexity(scored):.4f}"]
        row.append(f"{perplexity(scored) / perplexity(base) - 1:+.3%}")
        row.append(f"{max(abs(a.logprob - b.logprob) for a, b in pairs):.4f}")
        row.append(f"{sum(a.best == b.best for a, b in pairs) / len(pairs):.2%}")
        rows.append(row)
    what = f"{len(base)} tokens of {options.text.name} in pieces of {options.length}"
    print(f"{subject.name}, {what}")
    print("\n".join(align(rows)))


if __name__ == "__main__":
    main()
