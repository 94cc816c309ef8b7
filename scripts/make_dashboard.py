"""Writes the Grafana dashboard, deploy/grafana/sterna.json; with --check, compares with it.

The panels are listed here, because Grafana's own format is not for people.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "deploy" / "grafana" / "sterna.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}
# What the two variables of the dashboard choose.
HERE = 'instance=~"$instance"'
RATE = "[$__rate_interval]"


@dataclass(frozen=True)
class Panel:
    """A graph: its queries are (expression, legend)."""

    title: str
    unit: str
    queries: list[tuple[str, str]]
    meaning: str = ""
    width: int = 8


def rate(name: str, by: str = "", where: str = "") -> str:
    """The sum of a counter's rate by labels."""
    labels = f"{HERE},{where}" if where else HERE
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({name}{{{labels}}}{RATE}))"


def share(name: str, part: str, whole: str) -> str:
    """Which share of a counter's rate some series have; 0 while there are none of these yet."""
    everything = rate(name, where=whole)
    return f"({rate(name, where=part)} or 0 * {everything}) / {everything}"


def quantiles(name: str, by: str = "", where: str = "") -> list[tuple[str, str]]:
    """Median, 95th and 99th percentile of a histogram."""
    labels = f"le,{by}" if by else "le"
    shown = " ".join(f"{{{{{label}}}}}" for label in by.split(",") if label)
    return [
        (
            f"histogram_quantile({q}, {rate(name + '_bucket', labels, where)})",
            f"p{text} {shown}".strip(),
        )
        for q, text in ((0.5, "50"), (0.95, "95"), (0.99, "99"))
    ]


def gauge(name: str, by: str = "") -> str:
    """The sum of a gauge by labels."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} ({name}{{{HERE}}})"


# Of a façade on its own, and of a core.
ANY = '__name__=~"sterna_build_info|http_server_active_requests"'
LOADS = "sterna_model_load_duration_seconds"
HTTP, RPC = "http_server_request_duration_seconds", "rpc_server_call_duration_seconds"
TTFT, TPOT = (
    "gen_ai_server_time_to_first_token_seconds",
    "gen_ai_server_time_per_output_token_seconds",
)
# What people and programs ask for; probes and scrapes would hide how that goes when it is little.
WORK = 'http_route!~"/metrics|/livez|/health|/readyz|/ready"'
REFUSED = f'{WORK},http_response_status_code="503"'
FAILED = f'{WORK},http_response_status_code=~"5..",http_response_status_code!="503"'

ROWS: dict[str, list[Panel]] = {
    "Requests": [
        Panel(
            "Requests by route", "reqps", [(rate(f"{HTTP}_count", "http_route"), "{{http_route}}")]
        ),
        Panel(
            "Answers by status",
            "reqps",
            [(rate(f"{HTTP}_count", "http_response_status_code"), "{{http_response_status_code}}")],
        ),
        Panel(
            "Duration",
            "s",
            quantiles(HTTP, where=WORK),
            "From the headers to the last byte of the answer; without probes and scrapes.",
        ),
        Panel(
            "Failures",
            "percentunit",
            [
                (share(f"{HTTP}_count", FAILED, WORK), "failed"),
                (share(f"{HTTP}_count", REFUSED, WORK), "refused"),
            ],
            "Failed: 5xx but 503. Refused: 503, the server is full, starts or stops. Without "
            "probes and scrapes.",
        ),
        Panel(
            "Running",
            "short",
            [
                (gauge("http_server_active_requests"), "HTTP"),
                (gauge("sterna_rpc_active_calls"), "gRPC"),
            ],
        ),
        Panel("Ready", "short", [(gauge("sterna_ready", "instance"), "{{instance}}")]),
    ],
    "Generation": [
        Panel("Time to first token", "s", quantiles(TTFT), "From the arrival of the call."),
        Panel(
            "Time per output token", "s", quantiles(TPOT), "Of one answer, after its first token."
        ),
        Panel(
            "Waiting and computing the prompt",
            "s",
            [
                (quantiles("sterna_queue_duration_seconds")[1][0], "queue p95"),
                (quantiles("sterna_prefill_duration_seconds")[1][0], "prompt p95"),
            ],
        ),
        Panel(
            "Tokens per second",
            "short",
            [
                (
                    rate("sterna_tokens_total", "gen_ai_response_model,gen_ai_token_type"),
                    "{{gen_ai_token_type}} {{gen_ai_response_model}}",
                )
            ],
            "Of requests that succeeded.",
        ),
        Panel(
            "Requests by operation",
            "reqps",
            [
                (
                    rate("gen_ai_server_request_duration_seconds_count", "gen_ai_operation_name"),
                    "{{gen_ai_operation_name}}",
                )
            ],
        ),
        Panel(
            "Errors by reason",
            "reqps",
            [(rate("sterna_rpc_errors_total", "error_type"), "{{error_type}}")],
        ),
    ],
    "Engine": [
        Panel(
            "Batch and queue",
            "short",
            [
                (gauge("sterna_engine_running_sequences", "model"), "running {{model}}"),
                (gauge("sterna_engine_waiting_requests", "model"), "waiting {{model}}"),
                (gauge("sterna_engine_max_batch", "model"), "room {{model}}"),
            ],
        ),
        Panel(
            "Mean size of a batch",
            "short",
            [
                (
                    f"{rate('sterna_engine_sequence_steps_total', 'model')} / "
                    f"{rate('sterna_engine_steps_total', 'model')}",
                    "{{model}}",
                )
            ],
        ),
        Panel(
            "KV cache",
            "short",
            [(gauge("sterna_kv_cache_blocks", "state"), "{{state}}")],
            "Blocks: used by running sequences, cached for reuse, or free.",
        ),
        Panel(
            "Prompt tokens found in the cache",
            "percentunit",
            [
                (
                    f"{rate('sterna_engine_cached_tokens_total', 'model')} / "
                    f"{rate('sterna_engine_prompt_tokens_total', 'model')}",
                    "{{model}}",
                )
            ],
        ),
        Panel(
            "Guessed tokens that were right",
            "percentunit",
            [
                (
                    f"{rate('sterna_engine_accepted_tokens_total', 'model')} / "
                    f"{rate('sterna_engine_drafted_tokens_total', 'model')}",
                    "{{model}}",
                )
            ],
        ),
        Panel(
            "Preemptions",
            "cps",
            [(rate("sterna_engine_preemptions_total", "model"), "{{model}}")],
            "Sequences that gave up their blocks and were computed again.",
        ),
    ],
    "gRPC": [
        Panel(
            "Calls by method",
            "reqps",
            [(rate(f"{RPC}_count", "rpc_method"), "{{rpc_method}}")],
            width=6,
        ),
        Panel(
            "Calls by status",
            "reqps",
            [(rate(f"{RPC}_count", "rpc_response_status_code"), "{{rpc_response_status_code}}")],
            width=6,
        ),
        Panel(
            "Duration by method, p95",
            "s",
            [(quantiles(RPC, "rpc_method")[1][0], "{{rpc_method}}")],
            width=6,
        ),
        Panel(
            "Webhooks",
            "cps",
            [(rate("sterna_webhook_attempts_total", "outcome"), "{{outcome}}")],
            "Attempts to deliver events.",
            width=6,
        ),
    ],
    "Speech": [
        Panel(
            "Real-time factor, p90",
            "short",
            [
                (
                    "histogram_quantile(0.9, "
                    + rate("sterna_speech_real_time_factor_bucket", "le,operation")
                    + ")",
                    "{{operation}}",
                )
            ],
            "Seconds of computing for one second of audio; above 1, live audio falls behind.",
        ),
        Panel(
            "Audio",
            "short",
            [(rate("sterna_speech_audio_seconds_total", "operation"), "{{operation}}")],
            "Seconds of audio in each second.",
        ),
        Panel(
            "Workers",
            "short",
            [
                (gauge("sterna_speech_worker_requests", "worker"), "requests {{worker}}"),
                (rate("sterna_speech_worker_busy_seconds_total", "worker"), "busy {{worker}}"),
                (gauge("sterna_speech_worker_up", "worker"), "up {{worker}}"),
            ],
        ),
    ],
    "Process": [
        Panel(
            "Memory",
            "bytes",
            [
                (gauge("process_resident_memory_bytes", "instance"), "{{instance}}"),
                (gauge("sterna_memory_limit_bytes", "instance"), "limit {{instance}}"),
                (gauge("sterna_speech_worker_resident_memory_bytes", "worker"), "{{worker}}"),
            ],
        ),
        Panel(
            "Processors",
            "short",
            [(rate("process_cpu_seconds_total", "instance"), "{{instance}}")],
            "Processors that are busy for the server.",
        ),
        Panel(
            "Open files",
            "short",
            [
                (gauge("process_open_fds", "instance"), "{{instance}}"),
                (gauge("process_max_fds", "instance"), "limit {{instance}}"),
            ],
        ),
        Panel(
            "Models",
            "bytes",
            [
                (gauge("sterna_model_memory_bytes", "model"), "weights {{model}}"),
                (gauge("sterna_kv_cache_bytes", "model"), "KV cache {{model}}"),
            ],
        ),
        Panel(
            "Loads of models",
            "s",
            [
                (
                    f"{gauge(f'{LOADS}_sum', 'model,outcome')} / "
                    f"{gauge(f'{LOADS}_count', 'model,outcome')}",
                    "{{model}} {{outcome}}",
                )
            ],
            "How long they took in the mean since the start: they are too rare for rates.",
        ),
        Panel(
            "What runs",
            "short",
            [(f"sterna_build_info{{{HERE}}}", "{{instance}} {{version}} {{kernels}}")],
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        place = {"x": 0, "y": y, "w": 24, "h": 1}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place, "panels": []}
        )
        y += 1
        x = 0
        for panel in row:
            if x + panel.width > 24:
                x, y = 0, y + 8
            place = {"x": x, "y": y, "w": panel.width, "h": 8}
            panels.append(_panel(panel, len(panels) + 1, place))
            x += panel.width
        y += 8
    return {
        "uid": "sterna",
        "title": "Sterna",
        "description": "Requests, generation, engine, speech and process of Sterna servers.",
        "tags": ["sterna"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "instance",
                    "label": "Instance",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": f"label_values({{{ANY}}}, instance)",
                    "refresh": 2,
                    "multi": True,
                    "includeAll": True,
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.meaning,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 8}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }


def main() -> None:
    """Writes the file, or with --check exits with 1 when it is not current."""
    text = json.dumps(dashboard(), indent=2) + "\n"
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() != text:
            sys.exit(f"{TARGET} is not current; run python scripts/make_dashboard.py")
        return
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
