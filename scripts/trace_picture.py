"""Draws one trace, from an HTTP request to its last token: docs/trace.svg.

    python scripts/trace_picture.py docs/trace.svg

Starts a server with the embedded model and a collector, asks one question, and draws the spans
that come.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.collector import Collector, SpanSeen  # noqa: E402
from tests.support.server_process import ServerProcess  # noqa: E402

QUESTION = "Write a story about a bird that learns to fly over the sea, and tell it slowly."
NAMES = ("POST /v1/chat/completions", "queue", "prefill", "decode")

LABELS, BARS, ROW, TOP, MARGIN = 380, 560, 30, 64, 24
COLOURS = {"sterna_rest": "#b5651d", "sterna_service": "#1f6f8b"}
SHOWN = (
    ("gen_ai.usage.input_tokens", "tokens in"),
    ("gen_ai.usage.cache_read.input_tokens", "cached"),
    ("gen_ai.usage.output_tokens", "tokens out"),
)


def record() -> list[SpanSeen]:
    """The spans of one streamed answer, the outermost first."""
    trace_id = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as home, Collector() as collector:
        flags = ["serve", "--port", "0", "--grpc-port", "0", "--otlp-endpoint", collector.endpoint]
        with ServerProcess(flags, home=Path(home)) as server:
            body = {"messages": [{"role": "user", "content": QUESTION}], "stream": True}
            url = f"{server.rest_url}/v1/chat/completions"
            # The first request of a process also pays for imports.
            httpx.post(url, json=body, timeout=60).raise_for_status()
            traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
            headers = {"traceparent": traceparent}
            httpx.post(url, json=body, headers=headers, timeout=60).raise_for_status()
        spans = collector.trace(trace_id, *NAMES)
    return sorted(spans.values(), key=lambda span: (span.start, -span.end))


def draw(spans: list[SpanSeen]) -> str:
    """The spans as an SVG document, one row each, indented by depth."""
    parents = {span.span_id: span.parent_id for span in spans}
    begin, end = min(span.start for span in spans), max(span.end for span in spans)
    scale = BARS / (end - begin)
    width, height = LABELS + BARS + 2 * MARGIN, TOP + ROW * len(spans) + 3 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="34" font-size="16" font-weight="bold">One request, '
        f"{1000 * (end - begin):.1f} ms, from HTTP to its last token</text>",
    ]
    bottom = TOP + ROW * len(spans)
    for fifth in range(6):
        x = MARGIN + LABELS + BARS * fifth / 5
        parts += [
            f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>',
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#555555">'
            f"{1000 * (end - begin) * fifth / 5:.1f} ms</text>",
        ]
    for row, span in enumerate(spans):
        parts += _row(span, _depth(span.span_id, parents), TOP + ROW * row, begin, scale)
    for index, (scope, colour) in enumerate(COLOURS.items()):
        x, y = MARGIN + 130 * index, bottom + 40
        parts += [
            f'<rect x="{x}" y="{y - 11}" width="12" height="12" fill="{colour}"/>',
            f'<text x="{x + 18}" y="{y}">{scope}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _row(span: SpanSeen, depth: int, y: int, begin: float, scale: float) -> list[str]:
    x = MARGIN + LABELS + (span.start - begin) * scale
    length = max(1.5, (span.end - span.start) * scale)
    counts = ", ".join(
        f"{span.attributes[key]} {text}" for key, text in SHOWN if key in span.attributes
    )
    told = f"{1000 * (span.end - span.start):.2f} ms" + (f" · {counts}" if counts else "")
    # Where there is no room behind a bar, its text ends at its end.
    after = x + length + 6
    room = MARGIN + LABELS + BARS - after > 7 * len(told)
    place = f'x="{after:.1f}"' if room else f'x="{x + length - 6:.1f}" text-anchor="end"'
    colour = "#333333" if room else "#ffffff"
    return [
        f'<text x="{MARGIN + 14 * depth}" y="{y + 15}">{escape(span.name)}</text>',
        f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="20" rx="2" '
        f'fill="{COLOURS[span.scope]}"/>',
        f'<text {place} y="{y + 15}" font-size="11" fill="{colour}">{escape(told)}</text>',
    ]


def _depth(span_id: str, parents: dict[str, str]) -> int:
    depth = 0
    while (span_id := parents[span_id]) in parents:
        depth += 1
    return depth


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(record()), encoding="utf-8")
