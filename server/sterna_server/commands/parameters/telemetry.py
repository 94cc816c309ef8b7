"""Flags of what the server says of itself."""

from __future__ import annotations

from typing import Annotated

import typer

LogLevel = Annotated[
    str | None,
    typer.Option(
        metavar="LEVEL",
        help="debug, info, warning or error. [default: info]",
        show_default=False,
    ),
]
LogFormat = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="text for people, json for log collectors. [default: text]",
        show_default=False,
    ),
]
Metrics = Annotated[
    bool | None,
    typer.Option(
        "--metrics/--no-metrics",
        help="Show /metrics, for Prometheus, on the REST listeners. [default: on]",
        show_default=False,
    ),
]
MetricsListen = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Show /metrics there, and not on the REST listeners.",
        show_default=False,
    ),
]
OtlpEndpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Send traces to the OTLP collector there, over gRPC. [default: no traces]",
        show_default=False,
    ),
]
