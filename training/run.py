"""The command line: `python -m training.run --run DIRECTORY STEP`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation.answers import Answer

# torch is imported inside the steps that need it, so that the others start without it.

MODEL_ID = "sterna/tern-nano"


def tokens(text: str) -> int:
    """A number of tokens: "14M", "14000K", "14e6" and "14000000" are the same."""
    value = text.upper().replace("_", "")
    factor = {"K": 1000, "M": 1_000_000}.get(value[-1:], 1)
    return int(float(value.rstrip("KM")) * factor)


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m training.run", description=__doc__)
    result.add_argument("--run", type=Path, required=True, help="directory of this run's files")
    steps = result.add_subparsers(dest="step", required=True)

    build = steps.add_parser("build", help="generate the corpus and the tokenizer")
    build.add_argument("--data", type=Path, required=True, help="directory of the texts")
    build.add_argument("--tokens", type=tokens, default=tokens("14M"))
    build.add_argument("--seed", type=int, default=1)

    train = steps.add_parser("train", help="train, or go on from the checkpoint of the run")
    train.add_argument("--data", type=Path, help="another run's windows (its directory data)")
    train.add_argument("--size", default="2m", help="1m, 2m, 3m, 6m, 14m, 30m or tiny")
    train.add_argument("--tokens", type=tokens, required=True, help="tokens in all")
    train.add_argument("--decay", type=tokens, required=True, help="how many of them decay")
    train.add_argument("--batch", type=tokens, default=4096, help="tokens of one step")
    train.add_argument("--muon-lr", type=float, default=0.05)
    train.add_argument("--adam-lr", type=float, default=1e-2)
    train.add_argument("--threads", type=int, default=2)
    train.add_argument("--device", default="cpu", help="cpu or cuda")
    train.add_argument("--no-compile", action="store_true")
    train.add_argument(
        "--arithmetic",
        choices=("bf16", "float"),
        default="bf16",
        help="float: without quantization",
    )

    export = steps.add_parser("export", help="write the packed Hugging Face checkpoint")
    export.add_argument("--to", type=Path, required=True)

    adapter = steps.add_parser("adapter", help="train the LoRA adapter on the exported weights")
    adapter.add_argument("--data", type=Path, required=True)
    adapter.add_argument("--to", type=Path, required=True)
    adapter.add_argument("--steps", type=int, default=520)

    adapter.add_argument("--rate", type=float, default=2e-3, help="learning rate at the start")

    style = steps.add_parser("style", help="how often the adapter's style and content are right")
    style.add_argument("--data", type=Path, required=True)
    style.add_argument("--adapter", type=Path, required=True)
    style.add_argument("--prompts", type=int, default=200)

    evaluate = steps.add_parser("evaluate", help="ask every held-out question; write the table")
    evaluate.add_argument("--data", type=Path, required=True)
    evaluate.add_argument("--url", help="a server of the exported model; without it, torch answers")
    evaluate.add_argument("--limit", type=int, help="at most so many questions of every set")

    converse = steps.add_parser("converse", help="hold ten conversations and write them down")
    converse.add_argument("--url", help="a server of the exported model; without it, torch answers")

    compare = steps.add_parser("compare", help="a server's answers and those of transformers")
    compare.add_argument("--data", type=Path, required=True)
    compare.add_argument("--export", type=Path, required=True, help="the checkpoint served at URL")
    compare.add_argument("--url", required=True)
    compare.add_argument("--prompts", type=int, default=100)

    perplexity = steps.add_parser("perplexity", help="loss on held-out stories, two arithmetics")
    perplexity.add_argument("--data", type=Path, required=True)
    perplexity.add_argument("--texts", type=int, default=100)
    for step in (style, evaluate, converse):
        step.add_argument("--longest", type=int, default=90, help="tokens after which answers end")
    return result


def _checkpoint(run: Path) -> Path:
    path = run / "checkpoint.pt"
    if not path.exists():
        sys.exit(f"{path} is missing: run the step train first, or name another --run")
    return path


def _build(arguments: argparse.Namespace) -> None:
    from training.dataset import build

    build(arguments.data, arguments.run / "data", arguments.tokens, arguments.seed)


def _train(arguments: argparse.Namespace) -> None:
    from training.dataset import load_data
    from training.model import SIZES
    from training.trainer import Trainer, TrainOptions

    if arguments.size not in SIZES:
        sys.exit(f"--size is {arguments.size!r}; sizes: {', '.join(SIZES)}")
    options = TrainOptions(
        total_tokens=arguments.tokens,
        decay_tokens=arguments.decay,
        batch_tokens=arguments.batch,
        muon_lr=arguments.muon_lr,
        adam_lr=arguments.adam_lr,
        threads=arguments.threads,
        device=arguments.device,
        arithmetic=arguments.arithmetic,
        compile=not arguments.no_compile,
    )
    data = load_data(arguments.data or arguments.run / "data")
    Trainer(SIZES[arguments.size], data, arguments.run, options).run()


def _export(arguments: argparse.Namespace) -> None:
    from training.export import export
    from training.trainer import load_model

    model = load_model(_checkpoint(arguments.run))
    export(model, arguments.run / "data" / "tokenizer.json", arguments.to)


def _adapter(arguments: argparse.Namespace) -> None:
    from training.adapter import AdapterOptions, save_adapter, train_adapter
    from training.corpus.sources import load_sources
    from training.trainer import load_model

    options = AdapterOptions(steps=arguments.steps, learning_rate=arguments.rate)
    model = load_model(_checkpoint(arguments.run))
    tokenizer = arguments.run / "data" / "tokenizer.json"
    pairs, losses = train_adapter(model, tokenizer, load_sources(arguments.data), options)
    save_adapter(pairs, options, MODEL_ID, arguments.to)
    print(f"loss {losses[0]:.3f} -> {sum(losses[-20:]) / len(losses[-20:]):.3f}")


def _style(arguments: argparse.Namespace) -> None:
    from training.corpus.sources import load_sources
    from training.evaluation.answers import from_torch
    from training.evaluation.cases import all_cases
    from training.evaluation.style import style, style_cases

    tokenizer = arguments.run / "data" / "tokenizer.json"
    checkpoint = _checkpoint(arguments.run)
    cases = style_cases(all_cases(load_sources(arguments.data)), arguments.prompts)
    base = from_torch(checkpoint, tokenizer, longest=arguments.longest)
    adapted = from_torch(checkpoint, tokenizer, arguments.adapter, arguments.longest)
    text = style(cases, base, adapted).table()
    (arguments.run / "style.md").write_text(text, encoding="utf-8")
    print(text)


def _answer(arguments: argparse.Namespace) -> Answer:
    """The answers of the server at --url, or those of torch."""
    from training.evaluation.answers import from_server, from_torch

    if arguments.url:
        return from_server(arguments.url, arguments.longest)
    tokenizer = arguments.run / "data" / "tokenizer.json"
    return from_torch(_checkpoint(arguments.run), tokenizer, longest=arguments.longest)


def _evaluate(arguments: argparse.Namespace) -> None:
    from training.corpus.sources import load_sources
    from training.evaluation.cases import all_cases, limited, places
    from training.evaluation.report import evaluate, table
    from training.evaluation.search_flow import search_flow

    answer = _answer(arguments)
    cases = limited(all_cases(load_sources(arguments.data)), arguments.limit)
    scores = evaluate(cases, answer)
    scores += search_flow(answer, places(), arguments.limit or 200)
    (arguments.run / "evaluation.md").write_text(table(scores), encoding="utf-8")
    wrong = {s.name: s.wrong for s in scores}
    (arguments.run / "wrong.json").write_text(json.dumps(wrong, indent=1), encoding="utf-8")
    print(table(scores))


def _converse(arguments: argparse.Namespace) -> None:
    from training.evaluation.talks import talks

    text = talks(_answer(arguments))
    (arguments.run / "conversations.md").write_text(text, encoding="utf-8")
    print(text)


def _compare(arguments: argparse.Namespace) -> None:
    import random

    from training.corpus.sources import load_sources
    from training.evaluation.answers import from_server, from_transformers
    from training.evaluation.cases import all_cases

    cases = [c for some in all_cases(load_sources(arguments.data)).values() for c in some]
    asked = [c.conversation for c in random.Random(1).sample(cases, arguments.prompts)]
    ours = from_server(arguments.url)(asked)
    theirs = from_transformers(arguments.export)(asked)
    for conversation, one, other in zip(asked, ours, theirs, strict=True):
        if one.strip() != other.strip():
            print(f"{conversation[-1].text!r}\n  server       {one!r}\n  transformers {other!r}")
    same = sum(a.strip() == b.strip() for a, b in zip(ours, theirs, strict=True))
    print(f"{same} of {len(asked)} answers are identical")


def _perplexity(arguments: argparse.Namespace) -> None:
    from math import exp

    from training.corpus.sources import load_sources
    from training.evaluation.perplexity import nats_per_token
    from training.model import ARITHMETICS
    from training.tokenizer import load_tokenizer
    from training.trainer import load_model

    model = load_model(_checkpoint(arguments.run))
    tokenizer = load_tokenizer(arguments.run / "data" / "tokenizer.json")
    texts = load_sources(arguments.data).heldout_stories[: arguments.texts]
    lines = []
    for name in ARITHMETICS:
        nats = nats_per_token(model, tokenizer, texts, name)
        lines.append(f"{name:6} {nats:.4f} nats per token, perplexity {exp(nats):.2f}")
    text = "\n".join(lines) + "\n"
    (arguments.run / "perplexity.txt").write_text(text, encoding="utf-8")
    print(text, end="")


STEPS = {
    "build": _build,
    "train": _train,
    "export": _export,
    "adapter": _adapter,
    "style": _style,
    "evaluate": _evaluate,
    "converse": _converse,
    "compare": _compare,
    "perplexity": _perplexity,
}


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    STEPS[arguments.step](arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
