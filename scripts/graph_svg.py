"""Draws graphs of numbers over time as SVG, one cell of a picture each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

COLOURS = (
    "#1f6f8b", "#b5651d", "#4b7f52", "#8e4162", "#c49a00", "#5b5ea6", "#d1495b", "#4f9d9d",
    "#7a5c3e", "#6c757d", "#2f4b7c", "#9bb53c",
)  # fmt: skip
_LEFT, _RIGHT, _TOP, _AXIS, _LEGEND_LINE = 62, 12, 26, 18, 13
_LETTER = 5.8
_SHORT = {"reqps": " req/s", "cps": " /s"}


@dataclass(frozen=True)
class Line:
    """Pairs of seconds since 1970 and a number; the line breaks where it is none, and where there
    is no point for longer than `longest_gap` seconds."""

    legend: str
    points: Sequence[tuple[float, float]]
    longest_gap: float


@dataclass(frozen=True)
class Cell:
    """Where a graph is drawn, in pixels, and which time it shows, in seconds since 1970."""

    x: float
    y: float
    width: float
    height: float
    begin: float
    end: float
    legend_lines: int


def draw_graph(cell: Cell, title: str, unit: str, lines: Sequence[Line]) -> list[str]:
    """The elements of one graph. `unit` is Grafana's name of it."""
    top = ceiling(max((y for line in lines for _, y in line.points if y == y), default=0), unit)
    plot = _Plot(cell, top)
    parts = [
        f'<rect x="{cell.x:.0f}" y="{cell.y:.0f}" width="{cell.width:.0f}" '
        f'height="{cell.height:.0f}" rx="4" fill="#fff" stroke="#d8d8d8"/>',
        f'<text x="{cell.x + 10:.0f}" y="{cell.y + 17:.0f}" font-size="12" font-weight="bold">'
        f"{escape(title)}</text>",
    ]
    for quarter in (0, 0.5, 1):
        _, y = plot.place(cell.begin, top * quarter)
        parts += [
            f'<path d="M{plot.left:.0f} {y:.1f}H{plot.right:.0f}" stroke="#e8e8e8"/>',
            f'<text x="{plot.left - 5:.0f}" y="{y + 3.5:.1f}" text-anchor="end" fill="#666">'
            f"{escape(shown(top * quarter, unit))}</text>",
        ]
    minutes = (cell.end - cell.begin) / 60
    for minute in range(int(minutes) + 1):
        x, _ = plot.place(cell.begin + 60 * minute, 0)
        parts.append(
            f'<text x="{x:.0f}" y="{plot.bottom + 13:.0f}" text-anchor="middle" fill="#666">'
            f"{minute} min</text>"
        )
    for index, line in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        path = plot.path(line)
        if path:
            parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
    if not any(y == y for line in lines for _, y in line.points):
        parts.append(
            f'<text x="{(plot.left + plot.right) / 2:.0f}" y="{(plot.bottom + plot.top) / 2:.0f}" '
            'text-anchor="middle" fill="#999">no data</text>'
        )
    return parts + _legend(cell, [line.legend for line in lines])


def ceiling(largest: float, unit: str) -> float:
    """The end of an axis on which `largest` has a place: 1, 2 or 5 times a power of ten (of two
    for bytes). Shares end at most at 1."""
    if not largest > 0:
        return 1.0
    base = 1024.0 ** int(math.log(largest, 1024)) if unit == "bytes" else 1.0
    step = 10.0 ** math.floor(math.log10(largest / base))
    end = next(base * step * many for many in (1, 2, 5, 10) if largest <= base * step * many)
    return min(end, 1.0) if unit == "percentunit" else end


def shown(value: float, unit: str) -> str:
    """A number with its unit."""
    if unit == "bytes":
        for name in ("B", "KiB", "MiB", "GiB"):
            if value < 1024 or name == "GiB":
                return f"{value:.3g} {name}"
            value /= 1024
    if unit == "s" and 0 < value < 1:
        return f"{1000 * value:.3g} ms"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    text = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return text + (" s" if unit == "s" else _SHORT.get(unit, ""))


class _Plot:
    """The part of a cell in which lines are."""

    def __init__(self, cell: Cell, top: float) -> None:
        self.left, self.right = cell.x + _LEFT, cell.x + cell.width - _RIGHT
        self.top = cell.y + _TOP
        self.bottom = cell.y + cell.height - _AXIS - _LEGEND_LINE * cell.legend_lines - 6
        self._begin = cell.begin
        self._across = (self.right - self.left) / (cell.end - cell.begin)
        self._up = (self.bottom - self.top) / top

    def place(self, at: float, value: float) -> tuple[float, float]:
        return self.left + (at - self._begin) * self._across, self.bottom - value * self._up

    def path(self, line: Line) -> str:
        commands = []
        before = -math.inf
        for at, value in line.points:
            if math.isnan(value):
                before = -math.inf
                continue
            x, y = self.place(at, value)
            pen = "L" if at - before <= line.longest_gap else "M"
            commands.append(f"{pen}{x:.1f} {y:.1f}")
            before = at
        return "".join(commands)


def _legend(cell: Cell, names: Sequence[str]) -> list[str]:
    """Two columns; what has no room is counted."""
    room = 2 * cell.legend_lines
    left_out = len(names) - room
    column = (cell.width - 20) / 2
    parts = []
    for index, name in enumerate(names[: room - 1 if left_out > 0 else room]):
        x = cell.x + 10 + column * (index % 2)
        y = cell.y + cell.height - _LEGEND_LINE * (cell.legend_lines - index // 2) + 6
        most = int((column - 16) / _LETTER)
        text = name if len(name) <= most else f"…{name[1 - most :]}"
        parts.append(
            f'<path d="M{x:.0f} {y - 3.5:.1f}h9" stroke="{COLOURS[index % len(COLOURS)]}" '
            f'stroke-width="2.5"/><text x="{x + 13:.0f}" y="{y:.0f}">{escape(text)}</text>'
        )
    if left_out > 0:
        x = cell.x + 10 + column
        y = cell.y + cell.height - _LEGEND_LINE + 6
        parts.append(f'<text x="{x:.0f}" y="{y:.0f}" fill="#666">and {left_out + 1} more</text>')
    return parts
