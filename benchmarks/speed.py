#!/usr/bin/env python3
"""Measure decode and prefill speed, and say what share of the machine's floors that is.

By default the model has random weights in the shape of bitnet-b1.58-2B-4T (made on first use,
1.2 GB under build/benchmarks); speed hardly depends on the values. The floors are measured in the
same run, because absolute figures do not carry from one machine to another:

- one decoded token reads every ternary weight and the output head once, so streaming-read
  bandwidth bounds decoding;
- one prompt token multiplies every ternary weight once, so the rate of int8
  multiply-accumulates bounds prefill.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

# Run as a file, only benchmarks/ is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.machine import CLOCKS, Floors, build_floors, describe_machine, measure_floors
from benchmarks.runner import Runner, Work, open_runner
from scripts.checkpoint_presets import PRESETS
from scripts.make_tiny_checkpoint import make_checkpoint
from sterna_service.engine import _native

WORK = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
START = Path(__file__).with_name("start.py")
DECODE_PROMPT = 16


@dataclass(frozen=True)
class Rate:
    """Tokens per second over several rounds, beside the floor where there is one."""

    what: str
    threads: int
    median: float
    lowest: float
    highest: float
    floor: float | None

    def cells(self) -> list[str]:
        spread = f"{self.lowest:.1f} .. {self.highest:.1f}"
        limit = f"{self.floor:.1f}" if self.floor else "-"
        share = f"{self.median / self.floor:.0%}" if self.floor else "-"
        return [self.what, str(self.threads), f"{self.median:.1f}", spread, limit, share]


def prepare_bundle(options: argparse.Namespace) -> Path:
    """The bundle to measure: from a preset, or packed from --model-dir, and kept for next time."""
    WORK.mkdir(parents=True, exist_ok=True)
    checkpoint: Path = options.model_dir or WORK / options.preset
    if options.model_dir is None and not (checkpoint / "model.safetensors").exists():
        begin = time.perf_counter()
        make_checkpoint(checkpoint, PRESETS[options.preset], 0)
        print(f"made {checkpoint} in {time.perf_counter() - begin:.1f} s")
    bundle = WORK / f"{checkpoint.resolve().name}.bundle.safetensors"
    sources = [*checkpoint.glob("*.safetensors"), Path(str(_native.__file__))]
    newest = max(file.stat().st_mtime for file in sources)
    if not bundle.exists() or bundle.stat().st_mtime < newest:
        begin = time.perf_counter()
        _native.pack_checkpoint(str(checkpoint), str(bundle))
        print(f"packed {bundle} in {time.perf_counter() - begin:.1f} s")
    return bundle


def measure_rates(
    model: _native.Model, threads: int, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Tokens per second of every round, by what was measured."""

    def rounds(measure: Callable[[], float]) -> list[float]:
        measure()  # warms up caches, pages and clock
        return [measure() for _ in range(options.rounds)]

    open_engine = partial(open_runner, model, threads, options.batch_tokens, options.clock)

    def prefill(runner: Runner) -> float:
        tokens: int = options.prompt
        return tokens / runner.run(1, tokens, 1)[0]

    def decode(runner: Runner, streams: int) -> float:
        return runner.run(streams, DECODE_PROMPT, options.generate)[1]

    values = {}
    with open_engine(1, options.prompt + 1) as runner:
        values["prefill"] = rounds(partial(prefill, runner))
    for streams in options.streams:
        per_stream = DECODE_PROMPT + options.generate
        with open_engine(streams, per_stream) as runner:
            values[f"decode x {streams}"] = rounds(partial(decode, runner, streams))
    return values


def best_floors(first: Floors, second: Floors) -> Floors:
    """The better of two measurements: a disturbed floor would flatter the engine."""
    return Floors(
        first.threads,
        max(first.read_gb_per_s, second.read_gb_per_s),
        max(first.int8_gmac_per_s, second.int8_gmac_per_s),
        first.instruction,
    )


def to_rate(what: str, threads: int, values: list[float], floors: Floors, work: Work) -> Rate:
    floor = None
    if what == "prefill":
        floor = floors.int8_gmac_per_s * 1e9 / work.multiplications
    elif what == "decode x 1":
        floor = floors.read_gb_per_s * 1e9 / work.read_bytes
    return Rate(what, threads, statistics.median(values), min(values), max(values), floor)


def measure_start(bundle: Path, threads: int, rounds: int) -> dict[str, float]:
    """Medians over fresh processes, with the bundle in the page cache."""
    command = [sys.executable, str(START), str(bundle), str(threads)]
    runs = [
        json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for _ in range(rounds)
    ]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]))


def print_start(start: dict[str, float], threads: int) -> None:
    names = ("open", "engine", "first_token", "total")
    times = ", ".join(f"{n.replace('_', ' ')} {start[f'{n}_seconds'] * 1e3:.0f} ms" for n in names)
    print(f"\nstart in a fresh process, {threads} threads: {times}")
    print(f"peak memory {start['peak_memory_mb']:.0f} MB, weights {start['weights_mb']:.0f} MB")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="bitnet-b1.58-2B-4T", choices=PRESETS)
    parser.add_argument("--model-dir", type=Path, help="measure this checkpoint instead")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prefill (512)")
    parser.add_argument("--generate", type=int, default=64, help="tokens of the decoding (64)")
    parser.add_argument("--streams", type=int, nargs="+", default=[1], help="for example 1 4 16")
    parser.add_argument("--batch-tokens", type=int, default=256, help="max_batch_tokens (256)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds per figure (5)")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="processor: on a machine shared with others"
    )
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    floors_program = build_floors(WORK)
    bundle = prepare_bundle(options)
    model = _native.Model.open(str(bundle))
    work = Work.of(model)
    machine = describe_machine()
    print(f"{machine}; kernels {_native.kernel_names()[0]}")
    print(
        f"{bundle.name}: a token reads {work.read_bytes / 1e6:.0f} MB "
        f"and takes {work.multiplications / 1e9:.3f} G multiplications"
    )
    rates: list[Rate] = []
    all_floors: list[Floors] = []
    for threads in options.threads:
        before = measure_floors(floors_program, threads, options.clock)
        values = measure_rates(model, threads, options)
        floors = best_floors(before, measure_floors(floors_program, threads, options.clock))
        all_floors.append(floors)
        rates += [to_rate(what, threads, v, floors, work) for what, v in values.items()]
        print(
            f"{threads} threads: reads {floors.read_gb_per_s:.1f} GB/s, "
            f"{floors.int8_gmac_per_s:.0f} G int8 multiplications/s by {floors.instruction}"
        )
    print(
        f"\nprefill: {options.prompt} tokens; decode: {options.generate} tokens per stream; "
        f"{options.clock} time"
    )
    header = ["", "threads", "tokens/s", "lowest .. highest", "floor", "share"]
    print_table([header, *(rate.cells() for rate in rates)])
    start = measure_start(bundle, max(options.threads), options.rounds)
    print_start(start, max(options.threads))
    if options.json is not None:
        result = {
            "machine": machine,
            "bundle": bundle.name,
            "floors": [asdict(entry) for entry in all_floors],
            "rates": [asdict(entry) for entry in rates],
            "start": start,
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
