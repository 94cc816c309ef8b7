"""Where the server listens."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, Field, field_validator

from sterna_server.sections.kinds import HomePath, Port


class ListenerSettings(BaseModel):
    """Listeners."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """The address of the REST listener."""
    port: Port = 8000
    """The port of the REST listener; 0 takes any free one."""
    listen: list[str] = Field(default_factory=list)
    """Further REST listeners: `HOST:PORT`, or `HOST:PORT,ollama` for one that speaks Ollama's API
    under `/api`."""
    grpc_host: str = Field(default="127.0.0.1", min_length=1)
    """The address of the gRPC listener."""
    grpc_port: Port = 50051
    """The port of the gRPC listener; 0 takes any free one."""
    unix_path: HomePath | None = None
    """A Unix socket for gRPC beside the TCP listener; None: a private one between the two parts."""
    core: str = ""
    """A running core that `sterna rest`, `chat` and `models` use: `host:port` or `unix:/path`."""

    @field_validator("listen", mode="after")
    @classmethod
    def _check_listen(cls, value: list[str]) -> list[str]:
        for each in value:
            listener(each)
        return value

    @field_validator("core", mode="after")
    @classmethod
    def _check_core(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        is_unix = value.startswith("unix:") and len(value) > len("unix:")
        if value and not is_unix and ("://" in value or not (host and colon and port.isdigit())):
            raise ValueError("should be HOST:PORT or unix:/PATH, the address of a gRPC core")
        return value


class Listener(NamedTuple):
    """A further REST listener."""

    host: str
    port: int
    ollama: bool


def listener(text: str) -> Listener:
    """Reads `HOST:PORT` or `HOST:PORT,ollama`.

    Raises:
        ValueError: It is neither.
    """
    address, comma, api = text.partition(",")
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) <= 65535):
        raise ValueError("should be HOST:PORT or HOST:PORT,ollama")
    if comma and api.strip() != "ollama":
        raise ValueError(f"{api.strip()!r} is no API that a listener speaks; there is: ollama")
    return Listener(host.strip("[]"), int(port), bool(comma))
