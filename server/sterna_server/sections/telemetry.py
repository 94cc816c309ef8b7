"""What the server says of itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class TelemetrySettings(BaseModel):
    """Telemetry."""

    log_level: LogLevel = "info"
    """The least severe message that is logged."""
    log_format: LogFormat = "text"
    """`text` for people, `json` for log collectors."""
