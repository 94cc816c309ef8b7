"""What a run found: figures beside floors, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from sterna_server.bench.measure import Figure
from sterna_server.bench.start import Start, medians
from sterna_service.engine.floors import Floors
from sterna_service.engine.trial import Work


@dataclass(slots=True)
class Result:
    """Everything that one run measured."""

    machine: str
    model: str
    work: Work
    floors: dict[int, Floors] = field(default_factory=dict)
    """By the number of threads."""
    figures: list[Figure] = field(default_factory=list)
    starts: dict[int, list[Start]] = field(default_factory=dict)
    """By the number of threads."""

    def floor_of(self, figure: Figure) -> float | None:
        """The dense roofline of a rate, in tokens per second.

        A step reads every ternary weight and the output head once, and multiplies the ternary
        weights once for each stream: the slower of the two bounds it. A prompt is bound by the
        multiplications alone. Attention, norms and the head's arithmetic are not counted.
        """
        floors = self.floors[figure.threads]
        if figure.unit != "tokens/s" or not floors.int8_macs_per_second:
            return None
        arithmetic = self.work.ternary_macs / floors.int8_macs_per_second
        if figure.what == "prefill":
            return 1 / arithmetic
        read = (self.work.ternary_bytes + self.work.head_bytes) / floors.read_bytes_per_second
        return figure.streams / max(read, figure.streams * arithmetic)

    def to_json(self) -> dict[str, Any]:
        figures = []
        for figure in self.figures:
            floor = self.floor_of(figure)
            extra = {"median": figure.median, "floor": floor}
            extra["fraction_of_floor"] = figure.median / floor if floor else None
            figures.append(asdict(figure) | extra)
        return {
            "machine": self.machine,
            "model": self.model,
            "work_per_token": asdict(self.work),
            "floors": [asdict(floors) for floors in self.floors.values()],
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
        for floors in self.floors.values():
            yield (
                f"{_threads(floors.threads)}: reads {floors.read_bytes_per_second / 1e9:.1f} GB/s, "
                f"{floors.int8_macs_per_second / 1e9:.0f} G int8 multiplications/s "
                f"({floors.kernels})"
            )
        rates = [figure for figure in self.figures if figure.unit == "tokens/s"]
        times = [figure for figure in self.figures if figure.unit == "ms"]
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

    def _rates(self, figures: list[Figure]) -> Iterable[str]:
        header = ["", "threads", "streams", "tokens/s", "low .. high", "floor", "of floor"]
        compared = len({figure.variant for figure in figures}) > 1
        rows = [header + (["of defaults", "settings"] if compared else [])]
        base: dict[tuple[str, int, int], float] = {}
        for figure in figures:
            floor = self.floor_of(figure)
            row = [figure.what, str(figure.threads), str(figure.streams), f"{figure.median:.1f}"]
            row += [_spread(figure.values), f"{floor:.1f}" if floor else "-"]
            row.append(f"{figure.median / floor:.0%}" if floor else "-")
            if compared:
                key = (figure.what, figure.threads, figure.streams)
                first = base.setdefault(key, figure.median)
                row += [f"{figure.median / first:.2f}" if first else "-", figure.variant]
            rows.append(row)
        return align(rows)

    def _times(self, figures: list[Figure]) -> Iterable[str]:
        compared = len({figure.variant for figure in figures}) > 1
        rows = [["", "threads", "ms", "low .. high"] + (["settings"] if compared else [])]
        for figure in figures:
            row = [figure.what, str(figure.threads), f"{figure.median:.1f}"]
            row.append(_spread(figure.values))
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
