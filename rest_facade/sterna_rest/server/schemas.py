"""What the server says about itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class ServerInfoBody(BaseModel):
    """Which server this is."""

    name: str
    version: str
    status: Literal["starting", "running", "draining"]
    models_available: int


class HealthBody(BaseModel):
    """The façade is alive."""

    status: Literal["healthy"] = "healthy"
    timestamp: datetime = Field(description="Now, in UTC.")
    version: str
    uptime: float = Field(description="Seconds since the façade started.")


class ReadyBody(BaseModel):
    """The default model can answer."""

    status: Literal["ready"] = "ready"


INFO_EXAMPLE: dict[str, Any] = {
    "name": "Sterna",
    "version": "0.1.0",
    "status": "running",
    "models_available": 1,
}
HEALTH_EXAMPLE: dict[str, Any] = {
    "status": "healthy",
    "timestamp": "2026-01-02T03:04:05Z",
    "version": "0.1.0",
    "uptime": 3600.5,
}
