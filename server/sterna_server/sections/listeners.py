"""Where the server listens."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from sterna_server.sections.kinds import HomePath, Port
from sterna_server.sections.listener import listener


class ListenerSettings(BaseModel):
    """Listeners."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """The address of the REST listener."""
    port: Port = 8000
    """The port of the REST listener; 0 takes any free one."""
    listen: list[str] = Field(default_factory=list)
    """Further REST listeners: `HOST:PORT`, and behind commas `ollama` for Ollama's API under
    `/api`, `plain` for no TLS, or `cert=FILE`, `key=FILE` and `client_ca=FILE` of its own."""
    cors_origins: list[str] = Field(default_factory=list)
    """Origins of web pages that may call REST from a browser, such as `https://app.example`; `*`
    is all."""
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
