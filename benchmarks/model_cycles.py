#!/usr/bin/env python3
"""Memory and time of loading and unloading a model again and again, in one server process.

    .venv/bin/python benchmarks/model_cycles.py                         # the embedded model
    .venv/bin/python benchmarks/model_cycles.py --shape bitnet-2b-4t --cycles 10
    .venv/bin/python benchmarks/model_cycles.py ./my-encoder            # a sentence encoder, too

Every cycle loads, answers one request and unloads. What the process holds privately (anonymous
memory, without mapped files) is read after each; threads and open files are counted, too. The first
cycles warm allocators up and are left out of the growth.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sterna_server.bench.subject import find_subject
from sterna_service.encoders.files import is_encoder
from sterna_service.engine.types import EngineOptions
from sterna_service.inference.embedding import EmbeddingSpec, embed
from sterna_service.models.catalogue import Catalogue
from sterna_service.models.loading import LoadingOptions, ModelLoader
from sterna_service.models.memory import release_memory
from sterna_service.models.resident import ModelSettings

HOME = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the process holds. Sizes are bytes."""

    private: int
    threads: int
    files: int

    @classmethod
    def now(cls) -> Footprint:
        gc.collect()
        status = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines()
        )
        return cls(
            private=1024 * int(status["RssAnon"].split()[0]),
            threads=int(status["Threads"]),
            files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        )


@dataclass(frozen=True, slots=True)
class Cycle:
    """One load and unload. Times are seconds; `loaded` is while the model was there."""

    load: float
    answer: float
    loaded: Footprint
    after: Footprint


async def run_cycles(path: Path, cycles: int, home: Path) -> list[Cycle]:
    """Loads, asks and unloads the model so many times."""
    options = LoadingOptions(engine=EngineOptions(max_batch=1, max_queue=1))
    loader = ModelLoader(home, options)
    source = Catalogue(home).add(path)
    found = []
    for _ in range(cycles):
        began = time.perf_counter()
        model = await loader.load(source, ModelSettings())
        loaded = time.perf_counter()
        await embed(model, EmbeddingSpec(["Terns fly far."]))
        answered = time.perf_counter()
        footprint = Footprint.now()
        await model.close()
        del model
        # As the server does when a model has left.
        release_memory()
        found.append(Cycle(loaded - began, answered - loaded, footprint, Footprint.now()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="", help="a directory (the embedded model)")
    parser.add_argument("--shape", default="", help="random weights of this shape")
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--home", type=Path, default=HOME)
    options = parser.parse_args()
    path = Path(options.model)
    if not options.model or not is_encoder(path):
        subject = find_subject(
            options.model, options.shape, options.home, lambda text: print(text, file=sys.stderr)
        )
        assert subject.checkpoint is not None
        path = subject.checkpoint
    before = Footprint.now()
    cycles = asyncio.run(run_cycles(path, options.cycles, options.home))
    print(f"{path.name}, {len(cycles)} cycles; private memory in MiB, threads, open files")

    def line(name: str, footprint: Footprint) -> None:
        size = footprint.private / 2**20
        print(f"{name:16} {size:8.1f} {footprint.threads:4} {footprint.files:4}")

    line("before", before)
    line("first loaded", cycles[0].loaded)
    for number in sorted({1, WARM_UP, len(cycles) // 2, len(cycles)}):
        line(f"after {number}", cycles[number - 1].after)
    warm = cycles[min(WARM_UP, len(cycles)) - 1].after
    growth = (cycles[-1].after.private - warm.private) / 2**10 / max(1, len(cycles) - WARM_UP)
    print(f"growth           {growth:8.1f} KiB a cycle, after the first {WARM_UP}")
    for name, values in (
        ("load", [each.load for each in cycles]),
        ("first answer", [each.answer for each in cycles]),
    ):
        rest = values[1:] or values
        print(
            f"{name:16} {1e3 * values[0]:8.1f} ms the first time, then "
            f"{1e3 * statistics.median(rest):.1f} ms (median)"
        )


if __name__ == "__main__":
    main()
