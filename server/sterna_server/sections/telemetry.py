"""What the server says of itself."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field, field_validator

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class TelemetrySettings(BaseModel):
    """Telemetry."""

    log_level: LogLevel = "info"
    """The least severe message that is logged."""
    log_format: LogFormat = "text"
    """`text` for people, `json` for log collectors."""

    metrics: bool = True
    """Whether the REST listeners have a page `/metrics` for Prometheus."""
    metrics_listen: str = ""
    """`HOST:PORT` of a listener for `/metrics` alone; the REST listeners then have none."""

    otlp_endpoint: str = ""
    """Where traces go, an OTLP collector over gRPC such as `http://127.0.0.1:4317`; empty: no
    traces. Needs the extra `otel`."""
    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """The share of requests that are traced; one whose caller traces it follows the caller."""

    @field_validator("otlp_endpoint", mode="after")
    @classmethod
    def _check_otlp_endpoint(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/\s]+:\d+/?", value):
            raise ValueError("should be http://HOST:PORT or https://HOST:PORT")
        return value

    @field_validator("metrics_listen", mode="after")
    @classmethod
    def _check_metrics_listen(cls, value: str) -> str:
        if value and "," in value:
            raise ValueError("should be HOST:PORT")
        return value
