"""What a run found: figures beside floors, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from sterna_server.bench.measure import Figure
from sterna_server.bench.start import Start, medians
from sterna_service.engine.floors import Floors
from sterna_service.engine.trial import Work


@dataclass(frozen=True, slots=True)
class Row:
    """A figure and what the machine could do while it was taken."""

    figure: Figure
    floors: Floors

    def floor(self, work: Work) -> float | None:
        """The dense roofline of a rate, in tokens per second.

        A step reads every ternary weight and the output head once, and multiplies the ternary
        weights once for each stream: the slower of the two bounds it. A prompt is bound by the
        multiplications alone. Attention, norms and the head's arithmetic are not counted.
        """
        figure, floors = self.figure, self.floors
        if figure.unit != "tokens/s" or not floors.int8_macs_per_second:
            return None
        arithmetic = work.ternary_macs / floors.int8_macs_per_second
        if figure.what == "prefill":
            return 1 / arithmetic
        read = (work.ternary_bytes + work.head_bytes) / floors.read_bytes_per_second
        return figure.streams / max(read, figure.streams * arithmetic)


@dataclass(slots=True)
class Result:
    """Everything that one run measured."""

    machine: str
    model: str
    work: Work
    rows: list[Row] = field(default_factory=list)
    starts: dict[int, list[Start]] = field(default_factory=dict)
    """By the number of threads."""

    def to_json(self) -> dict[str, Any]:
        figures = []
        for row in self.rows:
            median, floor = row.figure.median, row.floor(self.work)
            extra = {"median": median, "floor": floor, "floors": asdict(row.floors)}
            extra["fraction_of_floor"] = median / floor if floor else None
            figures.append(asdict(row.figure) | extra)
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
        rates = [row for row in self.rows if row.figure.unit == "tokens/s"]
        times = [row.figure for row in self.rows if row.figure.unit != "tokens/s"]
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
        """What the machine could do, over all rows of a number of threads."""
        for threads in dict.fromkeys(row.figure.threads for row in self.rows):
            floors = [row.floors for row in self.rows if row.figure.threads == threads]
            reads = [one.read_bytes_per_second / 1e9 for one in floors]
            multiplications = max(one.int8_macs_per_second for one in floors) / 1e9
            yield (
                f"{_threads(threads)}: reads {_spread(reads)} GB/s, "
                f"{multiplications:.0f} G int8 multiplications/s ({floors[0].kernels})"
            )

    def _rates(self, rows: list[Row]) -> Iterable[str]:
        header = ["", "threads", "streams", "tokens/s", "low .. high", "floor", "of floor"]
        compared = len({row.figure.variant for row in rows}) > 1
        table = [header + (["of defaults", "settings"] if compared else [])]
        base: dict[tuple[str, int, int], float] = {}
        for row in rows:
            figure, floor = row.figure, row.floor(self.work)
            cells = [figure.what, str(figure.threads), str(figure.streams), f"{figure.median:.1f}"]
            cells += [_spread(figure.values), f"{floor:.1f}" if floor else "-"]
            cells.append(f"{figure.median / floor:.0%}" if floor else "-")
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
