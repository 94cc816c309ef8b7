#!/usr/bin/env python3
"""Compares the engine with llama.cpp in one run: same shape, same machine, rounds in turns.

    benchmarks/install_llama_cpp.sh        once; eight minutes of one core
    .venv/bin/python benchmarks/peers.py

Both sides run random ternary weights in the shape of bitnet-b1.58-2B-4T. llama.cpp has them as
TQ2_0 or TQ1_0 with an output head of the type named, an f16 KV cache and its own architecture
`bitnet`, whose matrices are the same; its gate is SiLU instead of squared ReLU, and it is timed
without sampling, while ours samples greedily. Its batches are made through its own low-level
interface.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sterna_server.bench.measure import Workload, batched, decode, open_trial, prefill
from sterna_server.bench.plan import DEFAULTS, Variant, parse_numbers, parse_variant
from sterna_server.bench.run import describe_machine
from sterna_server.bench.subject import Subject, find_subject
from sterna_service.engine.floors import measure_floors
from sterna_service.engine.trial import Trial
from sterna_service.models.synthetic.shapes import SHAPES

REPOSITORY = Path(__file__).resolve().parents[1]
WORK = REPOSITORY / "build" / "llama-cpp"
PYTHON = WORK / "venv" / "bin" / "python"
SHAPE = "bitnet-b1.58-2B-4T"


class Peer:
    """Another engine in a process of its own, which answers one line with tokens per second."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def run(self, task: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(task + "\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {self._process.args!r} ended without an answer")
        return line

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


@dataclass(frozen=True)
class Comparison:
    """One row: the rates of every round, ours and theirs taken in turns."""

    what: str
    threads: int
    peer: str
    variant: str
    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def line(self) -> str:
        ours, theirs = (
            f"{statistics.median(values):8.1f} ({min(values):.1f} .. {max(values):.1f})".ljust(28)
            for values in (self.ours, self.theirs)
        )
        return (
            f"{self.what:13}{self.threads:>7}  {self.peer:30}{theirs}{ours}{self.ratio:6.2f}  "
            f"{self.variant}"
        )


HEADER = (
    f"{'':13}threads  {'peer':30}{'theirs, tokens/s':28}{'ours, tokens/s':28} ratio  our settings"
)


@dataclass(frozen=True)
class Task:
    """The same work for both sides."""

    workload: Workload
    line: str


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    if "decode" in options.only:
        yield Task(decode(options.generate), f"decode {options.generate}")
    if "prefill" in options.only:
        yield Task(prefill(options.prompt), f"prefill {options.prompt}")
    if "batched" in options.only:
        for streams in options.streams:
            prompt, tokens = options.batched_prompt, options.batched_generate
            yield Task(batched(streams, prompt, tokens), f"batched {streams} {prompt} {tokens}")


def random_gguf(weights: str, head: str) -> Path:
    """The file that llama.cpp runs, written on first use."""
    path = WORK / f"{SHAPE}-{weights}-{head}.gguf"
    if not path.exists():
        script = str(Path(__file__).with_name("random_gguf.py"))
        shape = json.dumps(asdict(SHAPES[SHAPE]))
        subprocess.run([str(PYTHON), script, str(path), weights, head, shape], check=True)
    return path


def peer_commands(options: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Name and command of every peer; threads and streams are appended when it starts."""
    worker = str(Path(__file__).with_name("llama_worker.py"))
    for model in options.models:
        weights, _, head = model.partition("/")
        command = [str(PYTHON), worker, str(random_gguf(weights, head))]
        yield f"llama.cpp {weights}, {head} head", command
    for name, *command in options.worker:
        yield name, command


def compare(
    subject: Subject, variant: Variant, options: argparse.Namespace
) -> Iterator[Comparison]:
    peers = list(peer_commands(options))
    for threads in options.threads:
        for task in tasks(options):
            load = task.workload
            with contextlib.ExitStack() as stack:
                trial = stack.enter_context(
                    open_trial(
                        subject.bundle, threads, variant, load.streams, load.tokens_per_stream
                    )
                )
                running = []
                for name, command in peers:
                    peer = Peer([*command, str(threads), str(load.streams)])
                    stack.callback(peer.close)
                    running.append((name, peer))
                ours, theirs = take_turns(trial, running, task, options.rounds)
            for name, values in theirs.items():
                what = f"{load.what} x {load.streams}" if load.streams > 1 else load.what
                yield Comparison(what, threads, name, variant.name, ours, values)


def take_turns(
    trial: Trial, peers: list[tuple[str, Peer]], task: Task, rounds: int
) -> tuple[list[float], dict[str, list[float]]]:
    """One round to warm up, then `rounds` in which each side has its turn."""
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name, _ in peers}
    for number in range(rounds + 1):
        mine = task.workload.measure(trial)
        if number:
            ours.append(mine)
        for name, peer in peers:
            value = peer.run(task.line)
            if number:
                theirs[name].append(value)
    return ours, theirs


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def numbers(text: str) -> tuple[int, ...]:
        return parse_numbers("the list", text, least=1, most=1024)

    def words(text: str) -> list[str]:
        return [word for word in text.split(",") if word]

    parser.add_argument(
        "--models",
        type=words,
        default="TQ2_0/F16,TQ2_0/Q8_0,TQ2_0/Q6_K,TQ2_0/Q4_0,TQ1_0/Q6_K",
        help="WEIGHTS/HEAD of llama.cpp, with commas between; empty for none",
    )
    parser.add_argument("--only", type=words, default="decode,prefill,batched")
    parser.add_argument("--threads", type=numbers, default="1,2")
    parser.add_argument("--streams", type=numbers, default="1,2,4,8,16")
    parser.add_argument("--generate", type=int, default=128, help="tokens of the decoding (128)")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prefill (512)")
    parser.add_argument("--batched-prompt", type=int, default=128, help="tokens (128)")
    parser.add_argument("--batched-generate", type=int, default=64, help="tokens (64)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variant", default="", help="our settings, as in sterna bench --variant")
    parser.add_argument(
        "--worker",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "COMMAND"),
        help="one more engine: a command that answers like llama_worker.py; "
        "threads and streams are appended to it",
    )
    parser.add_argument("--json", type=Path, help="also write every round to this file")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if options.models and not PYTHON.exists():
        raise SystemExit("error: run benchmarks/install_llama_cpp.sh first, or give --models ''")
    variant = parse_variant(options.variant) if options.variant else DEFAULTS
    home = REPOSITORY / "build" / "benchmarks"
    subject = find_subject("", SHAPE, home, lambda text: print(text, file=sys.stderr))
    floors = [measure_floors(threads) for threads in options.threads]
    print(f"{describe_machine()}\n{HEADER}")
    rows = []
    for row in compare(subject, variant, options):
        print(row.line(), flush=True)
        rows.append(row)
    for threads, before in zip(options.threads, floors, strict=True):
        best = before.better(measure_floors(threads))
        print(
            f"{threads} threads: reads {best.read_bytes_per_second / 1e9:.1f} GB/s, "
            f"{best.int8_macs_per_second / 1e9:.0f} G int8 multiplications/s ({best.kernels})"
        )
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
