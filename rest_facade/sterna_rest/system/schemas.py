"""What the server says about its models and itself, for clients that manage it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

PORT = "TCP port of the gRPC core; null when it has none."


class ModelStatusBody(BaseModel):
    """A model now."""

    id: str
    status: Literal["unloaded", "loading", "loaded", "error"]
    port: int | None = Field(description=PORT)
    uptime: int = Field(description="Seconds since it was loaded; 0 when it is not.")
    memory_usage: int = Field(description="Bytes of weights and cache; 0 when it is not loaded.")
    last_used: datetime | None = Field(description="When it last answered; null: never.")
    message: str | None = Field(description="Why it is in `error`; null otherwise.")


class ModelInfoBody(BaseModel):
    """What a model is."""

    id: str
    path: str
    size: int = Field(description="Bytes of its files.")
    parameters: int
    format: str
    architecture: str
    context_length: int
    loaded: bool
    port: int | None = Field(description=PORT)


class ModelCounts(BaseModel):
    """The models together."""

    total: int
    loaded: int
    memory_usage: int = Field(description="Bytes that the loaded ones hold.")


class Proxy(BaseModel):
    """A door of the server."""

    status: Literal["starting", "running", "draining"]
    port: int | None


class HostFigures(BaseModel):
    """The machine."""

    cpu_usage: float = Field(description="Percent of all processors since the previous call.")
    memory_usage: int = Field(description="MiB in use.")
    available_memory: int = Field(description="MiB free, or easily freed.")


class SystemStatusBody(BaseModel):
    """How the server does."""

    status: Literal["starting", "running", "draining"]
    models: ModelCounts
    proxies: dict[str, Proxy] = Field(description="`rest`: the port that was asked.")
    system: HostFigures


class RuntimeInfo(BaseModel):
    """What runs the server."""

    python_version: str
    platform: str


class ServerInfoBody(BaseModel):
    """What the server is."""

    id: str
    version: str
    description: str
    features: list[str]
    models_supported: list[str]
    runtime_info: RuntimeInfo


STATUS_EXAMPLE: dict[str, Any] = {
    "id": "sterna/tern-nano",
    "status": "loaded",
    "port": 50051,
    "uptime": 3600,
    "memory_usage": 5242880,
    "last_used": "2026-01-06T10:30:00Z",
    "message": None,
}
INFO_EXAMPLE: dict[str, Any] = {
    "id": "sterna/tern-nano",
    "path": "/opt/sterna/models/tern-nano",
    "size": 5242880,
    "parameters": 10000000,
    "format": "safetensors",
    "architecture": "BitNetForCausalLM",
    "context_length": 1024,
    "loaded": True,
    "port": 50051,
}
SYSTEM_EXAMPLE: dict[str, Any] = {
    "status": "running",
    "models": {"total": 1, "loaded": 1, "memory_usage": 5242880},
    "proxies": {"rest": {"status": "running", "port": 8000}},
    "system": {"cpu_usage": 45.2, "memory_usage": 16384, "available_memory": 32768},
}
SERVER_EXAMPLE: dict[str, Any] = {
    "id": "sterna",
    "version": "0.1.0",
    "description": "Serves ternary language models on ordinary CPUs",
    "features": ["chat", "completions", "streaming"],
    "models_supported": ["safetensors"],
    "runtime_info": {"python_version": "3.11.0", "platform": "Linux x86_64"},
}
