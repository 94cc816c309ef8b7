"""Draws the dashboard's panels as a real Prometheus answers them: docs/dashboard.svg.

    python scripts/dashboard_picture.py docs/dashboard.svg [--minutes 1.2]

Starts a server and a Prometheus that scrapes it, has clients ask for everything that the server
does, and evaluates every query of deploy/grafana/sterna.json. Speech takes part where the extra
`voice` is installed: build/voice-venv/bin/python, which scripts/voice_venv.sh makes.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.graph_svg import Cell, Line, draw_graph  # noqa: E402
from tests.support.monitored import Run, monitored_run  # noqa: E402

INTERVAL = 2
# Pixels for one of the dashboard's 24 columns and for a graph, and between graphs.
COLUMN, HEIGHT, GAP = 60, 200, 10
MARGIN, TITLE, ROW_TITLE = 20, 40, 30
# Grafana's units of height that a graph has.
GRAPH_UNITS = 8
LEGEND_LINES = 4


def draw(run: Run) -> str:
    """The panels in the places that the dashboard gives them, as an SVG document."""
    parts: list[str] = []
    y = MARGIN + TITLE
    for row, group in itertools.groupby(run.graphs, lambda each: each[0].row):
        panels = list(group)
        parts.append(f'<text x="{MARGIN}" y="{y + 17}" font-size="15">{row}</text>')
        y += ROW_TITLE
        top = min(graph.place["y"] for graph, _ in panels)
        for graph, lines in panels:
            place = graph.place
            line = (place["y"] - top) // GRAPH_UNITS
            cell = Cell(
                MARGIN + COLUMN * place["x"],
                y + (HEIGHT + GAP) * line,
                COLUMN * place["w"] - GAP,
                HEIGHT,
                run.begin,
                run.end,
                LEGEND_LINES,
            )
            drawn = [Line(legend, series.points, 2 * INTERVAL) for legend, series in lines]
            parts += draw_graph(cell, graph.title, graph.unit, drawn)
        y += (HEIGHT + GAP) * (1 + line)
    width, height = COLUMN * 24 + 2 * MARGIN - GAP, y + MARGIN
    title = (
        f"Sterna: {run.end - run.begin:.0f} seconds under mixed load, scraped every {INTERVAL} s"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="10">',
            f'<rect width="{width}" height="{height}" fill="#f6f6f6"/>',
            f'<text x="{MARGIN}" y="{MARGIN + 18}" font-size="18" font-weight="bold">{title}'
            "</text>",
            *parts,
            "</svg>",
            "",
        ]
    )


def table(run: Run) -> str:
    """Least, mean and largest value of every line."""
    rows = [f"{'':>64} {'least':>10} {'mean':>10} {'most':>10}"]
    for graph, lines in run.graphs:
        rows.append(f"{graph.row}: {graph.title} [{graph.unit}]")
        for legend, series in lines:
            numbers = series.numbers or [float("nan")]
            mean = sum(numbers) / len(numbers)
            rows.append(f"{legend:>64} {min(numbers):>10.4g} {mean:>10.4g} {max(numbers):>10.4g}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--minutes", type=float, default=1.2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        run = monitored_run(Path(directory), 60 * options.minutes, INTERVAL)
    options.target.write_text(draw(run), encoding="utf-8")
    print(table(run))


if __name__ == "__main__":
    main()
