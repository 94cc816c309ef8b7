#!/usr/bin/env python3
"""Write random ternary checkpoints in the formats that the engine reads.

What is written, and why it is the same everywhere: sterna_service/models/synthetic/checkpoint.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

# Run as a file, only scripts/ is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.checkpoint_presets import PRESETS
from sterna_service.models.synthetic.checkpoint import make_checkpoint, tensor_plans


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", nargs="?", help="which model; see --list")
    parser.add_argument("output", nargs="?", type=Path, help="the checkpoint directory to write")
    parser.add_argument("--list", action="store_true", help="print the presets and exit")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default 0)")
    parser.add_argument("--layers", type=int, help="override the number of layers")
    parser.add_argument("--context", type=int, help="override the context length")
    options = parser.parse_args(arguments)
    if options.list:
        return options
    if options.preset is None or options.output is None:
        parser.error("give a PRESET and an OUTPUT directory, or --list")
    if options.preset not in PRESETS:
        parser.error(f"unknown preset {options.preset!r}; one of: {', '.join(PRESETS)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    if options.list:
        for name, shape in PRESETS.items():
            size = sum(plan.nbytes for plan in tensor_plans(shape))
            print(f"{name:26} {size / 1e6:8.2f} MB  {shape}")
        return 0
    shape = PRESETS[options.preset]
    if options.layers is not None:
        shape = replace(shape, layers=options.layers)
    if options.context is not None:
        shape = replace(shape, context=options.context)
    started = time.monotonic()
    try:
        digest = make_checkpoint(options.output, shape, options.seed)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    size = (options.output / "model.safetensors").stat().st_size
    seconds = time.monotonic() - started
    print(f"{options.output}: {size / 1e6:.1f} MB in {seconds:.1f} s, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
