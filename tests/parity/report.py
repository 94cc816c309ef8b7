"""Prints how near the engine is to transformers: python -m tests.parity.report [--model numpy]"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from scripts.checkpoint_presets import GROUPED_PRESETS
from tests.parity.compare import (
    EXACT,
    EXACT_LOGITS,
    STAGE_OF,
    Oracle,
    compare_layer,
    compare_linear,
    compare_logits,
    compare_means,
    compare_values,
)
from tests.parity.fixtures import KV_CACHE_DTYPES, NAMES, NativeModel, Workbench
from tests.parity.numpy_model import NumpyModel

COLUMNS = (
    "codes",
    "flips",
    "projection",
    "layer strict",
    "layer",
    "logits exact",
    "worst",
    "top-1",
)


def row(name: str, workbench: Workbench, kind: str) -> list[str]:
    golden = workbench.golden(name)

    def oracle(seed: int) -> Oracle:
        if kind == "numpy":
            return NumpyModel(workbench.checkpoint(name, seed))
        return NativeModel(workbench.model(name, seed))

    model = oracle(0)
    linears = [compare_linear(model, golden, i, p) for i in range(golden.layers) for p in STAGE_OF]
    layers = [compare_layer(model, golden, i) for i in range(golden.layers)]
    logits = [compare_logits(oracle(seed), golden, seed) for seed in golden.logit_seeds]
    strict, rows = sum(x.strict_rows for x in layers), sum(x.rows for x in layers)
    positions = sum(x.rows for x in logits)
    exact_rows = sum(x.exact_rows for x in logits)
    return [
        f"{sum(x.codes for x in linears)}",
        f"{sum(x.flips for x in linears)}",
        f"{max(x.error for x in linears):.1e}",
        f"{max(x.strict_error for x in layers):.1e} ({strict}/{rows})",
        f"{max(x.error for x in layers):.1e} ({sum(x.exact_rows for x in layers)}/{rows})",
        f"{sum(x.exact for x in logits)}/{len(logits)} ({exact_rows}/{positions})",
        f"{max(x.error for x in logits):.1e}",
        f"{sum(x.top1_rows for x in logits) / positions:.3f}",
    ]


def grouped_row(name: str, workbench: Workbench, kind: str) -> list[str]:
    """Of a model with scales by groups, whose activations the reference does not round."""
    golden = workbench.golden(name)

    def oracle(seed: int) -> Oracle:
        if kind == "numpy":
            return NumpyModel(workbench.checkpoint(name, seed), rounded=False)
        return NativeModel(workbench.model(name, seed))

    model, hidden = oracle(0), golden.values["layer/hidden"]
    values = golden.values
    pairs = [
        (
            model.linear(f"layers.{i}.{p}", values[f"{golden.stage(i, p)}/x"])[2],
            values[f"linear/{i}.{p}/y"],
        )
        for i in range(golden.layers)
        for p in STAGE_OF
    ]
    layers = [(model.layer(i, hidden[i]), hidden[i + 1]) for i in range(golden.layers)]
    logits = [compare_logits(oracle(seed), golden, seed) for seed in golden.logit_seeds]
    positions = sum(x.rows for x in logits)
    return [
        f"{max(compare_means(*pair) for pair in pairs):.1e}",
        f"{max(compare_values(*pair) for pair in pairs):.1e}",
        f"{max(compare_means(*pair) for pair in layers):.1e}",
        f"{max(compare_values(*pair) for pair in layers):.1e}",
        f"{max(x.error for x in logits):.1e}",
        f"{sum(x.top1_rows for x in logits) / positions:.3f}",
    ]


def cache_row(name: str, workbench: Workbench, dtype: str) -> list[str]:
    golden = workbench.golden(name)
    differences = [
        compare_logits(NativeModel(workbench.model(name, seed), dtype), golden, seed)
        for seed in golden.logit_seeds
    ]
    positions = sum(x.rows for x in differences)
    return [
        f"{max(x.error for x in differences):.1e}",
        f"{sum(x.top1_rows for x in differences) / positions:.3f}",
    ]


def print_table(table: list[list[str]]) -> None:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=("engine", "numpy"), default="engine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workbench = Workbench(Path(temporary))
        table = [["model", *COLUMNS]]
        table += [[name, *row(name, workbench, options.model)] for name in NAMES]
        grouped = [["model", "projection mean", "worst", "layer mean", "worst", "logits", "top-1"]]
        grouped += [
            [name, *grouped_row(name, workbench, options.model)] for name in GROUPED_PRESETS
        ]
        caches = [["model", "KV cache", "worst", "top-1"]]
        if options.model == "engine":
            caches += [
                [name, dtype, *cache_row(name, workbench, dtype)]
                for name in NAMES
                for dtype in KV_CACHE_DTYPES
            ]
    print_table(table)
    print(
        "\nDifferences from transformers in deviations of its values. projection: rows without a"
        "\nflipped code. layer strict: rows that no rounding boundary can excuse (how many)."
        f"\nlayer: all rows (how many are within {EXACT:.0e})."
        f"\nlogits exact: prompts (positions) with every logit within {EXACT_LOGITS:.0e}."
        "\nThe engine's KV cache is f32 here.\n"
    )
    print_table(grouped)
    print(
        "\nWith scales by groups the reference leaves activations in float. mean: the root of the"
        "\nmean square. The numpy model leaves them, too; the engine rounds them by groups.\n"
    )
    if len(caches) > 1:
        print_table(caches)


if __name__ == "__main__":
    main()
