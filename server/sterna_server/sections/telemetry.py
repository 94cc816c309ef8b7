"""What the server says of itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, field_validator

from sterna_server.sections.listeners import listener

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

    @field_validator("metrics_listen", mode="after")
    @classmethod
    def _check_metrics_listen(cls, value: str) -> str:
        if value and listener(value).ollama:
            raise ValueError("should be HOST:PORT")
        return value
