"""What a run found: figures beside floors, as a table or as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from sterna_server.bench.measure import Figure
from sterna_server.bench.start import Start, medians
from sterna_service.engine.trial import Work


@dataclass(slots=True)
class Result:
    """Everything that one run measured."""

    machine: str
    model: str
    work: Work
    figures: list[Figure] = field(default_factory=list)
    starts: dict[int, list[Start]] = field(default_factory=dict)
    """By the number of threads."""

    def to_json(self) -> dict[str, Any]:
        figures = []
        for figure in self.figures:
            extra = {"median": figure.median, "fraction_of_floor": figure.fraction(self.work)}
            figures.append(asdict(figure) | extra)
        return {
            "machine": self.machine,
            "model": self.model,
            "work_per_token": asdict(self.work),
            "figures": figures,
            "start": [
                {"threads": threads, "runs": [asdict(start) for start in starts]}
                for threads, starts in self.starts.items()
            ],
        }

    def to_lines(self) -> Iterable[str]:
        """The result as text for people."""
        work = self.work
        yield self.machine
        yield (
            f"{self.model}: a token reads {work.ternary_bytes / 1e6:.1f} MB of ternary weights and "
            f"{work.head_bytes / 1e6:.1f} MB of output head, and takes "
            f"{work.ternary_macs / 1e9:.3f} G multiplications"
        )
        yield from self._floors()
        rates = [figure for figure in self.figures if figure.unit == "tokens/s"]
        times = [figure for figure in self.figures if figure.unit != "tokens/s"]
        if rates:
            yield ""
            yield from self._rates(rates)
        if times:
            yield ""
            yield from self._times(times)
        for threads, starts in self.starts.items():
            start = medians(starts)
            totals = [one.total_ms for one in starts]
            yield ""
            yield (
                f"new process, {_threads(threads)}: first token after {start.total_ms:.0f} ms "
                f"({_spread(totals)}): open {start.open_ms:.0f} ms, answer "
                f"{start.first_token_ms:.0f} ms"
            )
            yield f"peak memory {start.peak_memory_mb:.0f} MB, weights {start.weights_mb:.0f} MB"

    def _floors(self) -> Iterable[str]:
        """What the machine could do, over all rounds with a number of threads."""
        for threads in dict.fromkeys(figure.threads for figure in self.figures):
            floors = [
                one for figure in self.figures if figure.threads == threads for one in figure.floors
            ]
            reads = [one.read_bytes_per_second / 1e9 for one in floors]
            multiplications = max(one.int8_macs_per_second for one in floors) / 1e9
            yield (
                f"{_threads(threads)}: reads {_spread(reads)} GB/s, "
                f"{multiplications:.0f} G int8 multiplications/s ({floors[0].kernels})"
            )

    def _rates(self, figures: list[Figure]) -> Iterable[str]:
        header = ["", "threads", "streams", "tokens/s", "low .. high", "floor", "of floor"]
        compared = len({figure.variant for figure in figures}) > 1
        table = [header + (["of defaults", "settings"] if compared else [])]
        base: dict[tuple[str, int, int], float] = {}
        for figure in figures:
            rooflines, fraction = figure.rooflines(self.work), figure.fraction(self.work)
            cells = [figure.what, str(figure.threads), str(figure.streams), f"{figure.median:.1f}"]
            cells.append(_spread(figure.values))
            cells.append(f"{statistics.median(rooflines):.1f}" if rooflines else "-")
            cells.append(f"{fraction:.0%}" if fraction else "-")
            if compared:
                key = (figure.what, figure.threads, figure.streams)
                first = base.setdefault(key, figure.median)
                cells += [f"{figure.median / first:.2f}" if first else "-", figure.variant]
            table.append(cells)
        return align(table)

    def _times(self, figures: list[Figure]) -> Iterable[str]:
        compared = len({figure.variant for figure in figures}) > 1
        rows = [
            ["", "threads", "median", "low .. high", "unit"] + (["settings"] if compared else [])
        ]
        for figure in figures:
            row = [figure.what, str(figure.threads), f"{figure.median:.1f}"]
            row += [_spread(figure.values), figure.unit]
            rows.append(row + ([figure.variant] if compared else []))
        return align(rows)


def align(rows: list[list[str]]) -> Iterable[str]:
    """A table: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])


def _spread(values: list[float]) -> str:
    return f"{min(values):.1f} .. {max(values):.1f}"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
