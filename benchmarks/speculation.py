#!/usr/bin/env python3
"""Measure what speculation costs when guesses fail, and what it gains when they come true.

Random weights repeat themselves far more than a trained model does, so an answer of theirs would
flatter speculation. Here the share of guesses that come true is set: a bias leaves a number of
equally likely tokens, the prompt has seen every pair of them, and of n tokens 1/n of the guesses
come true. One token: all do. Without a bias every token of the vocabulary is likely, and there is
nothing to guess.

The rounds of all ways take turns, so that what else the machine does hits all of them alike.
"""

from __future__ import annotations

import argparse
import random
import select
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sterna_server.bench.subject import find_subject
from sterna_server.settings import load_settings
from sterna_service.engine import _native


@dataclass(frozen=True)
class Way:
    """How an answer is made."""

    speculation: str
    drafts: int


class Bench:
    """One engine of a way, kept so that it knows its costs."""

    def __init__(self, model: _native.Model, way: Way, threads: int) -> None:
        options = _native.EngineOptions()
        options.threads = threads
        options.max_batch = 1
        options.prefix_cache = False
        options.speculation = way.speculation
        options.max_draft_tokens = way.drafts
        self.way = way
        self.engine = _native.Engine(model, options)
        self._vocab = model.config.vocab_size
        self._requests = 0

    def run(self, kinds: int, tokens: int) -> tuple[float, float, float]:
        """Tokens a second, tokens a step and the share of guesses that came true.

        `kinds` of tokens are equally likely; 0: all.
        """
        self._requests += 1
        request = _native.Request()
        request.id = self._requests
        request.prompt = _prompt(kinds, self._vocab)
        request.max_tokens = tokens
        request.seed = self._requests
        if kinds:
            # All else is out of reach, and the logits of random weights are close to each other
            # beside this temperature.
            request.logit_bias = [(token, 1e6) for token in range(kinds)]
            request.temperature = 100.0
        before = self.engine.stats()
        self.engine.submit(request)
        first = last = 0.0
        while True:
            if not select.select([self.engine.outbox_fd()], [], [], 600.0)[0]:
                raise SystemExit("error: the engine has been silent for ten minutes")
            now = time.perf_counter()
            for event in self.engine.drain_outbox():
                if event.kind == _native.EventKind.TOKEN:
                    first = first or now
                    last = now
                elif event.kind == _native.EventKind.FINISHED:
                    after = self.engine.stats()
                    steps = after.steps - before.steps
                    drafted = after.drafted_tokens - before.drafted_tokens
                    accepted = after.accepted_tokens - before.accepted_tokens
                    share = accepted / drafted if drafted else 0.0
                    return (tokens - 1) / (last - first), tokens / steps, share


def _prompt(kinds: int, vocab: int) -> list[int]:
    """Holds every pair of the likely tokens, or is random."""
    if not kinds:
        return [random.randrange(vocab) for _ in range(64)]
    pairs = [
        token for first in range(kinds) for second in range(kinds) for token in (first, second)
    ]
    return [*pairs, 0, 0]


def measure(
    model: _native.Model, ways: Sequence[Way], kinds: int, options: argparse.Namespace
) -> list[list[str]]:
    benches = [Bench(model, way, options.threads) for way in ways]
    results: list[list[tuple[float, float, float]]] = [[] for _ in ways]
    for round_number in range(options.rounds + 1):
        for bench, result in zip(benches, results, strict=True):
            run = bench.run(kinds, options.generate)
            if round_number:  # the first warms up
                result.append(run)
    for bench in benches:
        bench.engine.close()
    rows = []
    plain = statistics.median(speed for speed, _, _ in results[0])
    for way, result in zip(ways, results, strict=True):
        speeds = [speed for speed, _, _ in result]
        speed = statistics.median(speeds)
        per_step = statistics.median(tokens for _, tokens, _ in result)
        share = statistics.median(part for _, _, part in result)
        rows.append(
            [
                f"{way.speculation} {way.drafts}" if way.speculation != "off" else "off",
                f"{speed:.1f}",
                f"{min(speeds):.1f} .. {max(speeds):.1f}",
                f"{share:.0%}",
                f"{per_step:.2f}",
                f"{speed / plain:.2f}",
                f"{per_step * plain / speed:.2f}",
            ]
        )
    return rows


def print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="", help="a model of the store or a bundle")
    parser.add_argument(
        "--shape", default="", help="random weights; bitnet-b1.58-2B-4T if no model"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--generate", type=int, default=64, help="tokens of an answer (64)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds per figure (5)")
    parser.add_argument("--drafts", type=int, nargs="+", default=[1, 2, 3, 4, 6, 8])
    parser.add_argument(
        "--kinds",
        type=int,
        nargs="+",
        default=[8, 2, 1, 0],
        help="equally likely tokens; 1 of so many guesses comes true (0: nothing to guess)",
    )
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    shape = options.shape or ("" if options.model else "bitnet-b1.58-2B-4T")
    subject = find_subject(options.model, shape, load_settings({}).home, print)
    model = _native.Model.open(str(subject.bundle))
    print(f"{subject.name}; {options.threads} threads, one stream")
    for kinds in options.kinds:
        forced = [Way("always", drafts) for drafts in options.drafts] if kinds else []
        ways = [Way("off", 8), Way("auto", 8), *forced]
        title = f"1 of {kinds} guesses comes true" if kinds else "nothing to guess"
        print(f"\n{title}")
        header = ["", "tokens/s", "lowest .. highest", "true", "tokens/step", "speed", "step cost"]
        print_table([header, *measure(model, ways, kinds, options)])


if __name__ == "__main__":
    main()
