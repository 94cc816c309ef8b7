"""What the façade must be told. It reads no environment and no file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp

from sterna import Tls
from sterna.v1.access_pb2 import Limits
from sterna_rest.access.client import Network
from sterna_rest.http.metrics import HttpMetrics

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerLimits:
    """What each client of a listener may do; 0 is no limit."""

    requests: int = 0
    """Requests per minute."""
    tokens: int = 0
    """Tokens per minute, of prompts and answers together."""
    concurrent: int = 0
    """Requests at the same time."""
    streams: int = 0
    """Streamed answers at the same time."""
    upload: int = 0
    """Bytes of one request."""

    def message(self) -> Limits:
        """As the protocol says it; all fields say something."""
        return Limits(
            requests_per_minute=self.requests,
            tokens_per_minute=self.tokens,
            concurrent_requests=self.concurrent,
            concurrent_streams=self.streams,
            upload_bytes=self.upload,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FacadeOptions:
    """Settings of one façade. Times are seconds, sizes are bytes."""

    core_address: str
    """Where the gRPC core listens: `host:port` or `unix:/path`."""

    ollama: bool = False
    """Speak Ollama's API under `/api`, instead of MyLLM's."""

    metrics: HttpMetrics | None = None
    """Where requests are measured; None: in a registry of its own."""

    show_metrics: bool = True
    """Whether `/metrics` shows that registry."""

    trace: Callable[[ASGIApp], ASGIApp] | None = None
    """A middleware around everything that records the spans of requests; None: nobody does."""

    tls: Tls | None = None
    """How to call a core that speaks TLS."""

    cors_origins: tuple[str, ...] = ()
    """Pages of these origins (`https://app.example`, or `*` for all) may call from a browser."""

    keys: bool = False
    """Every request needs an API key. The core, which knows them, must be told, too."""

    listener: str = "rest"
    """The name of the listener: clients without a key are counted for each name apart."""

    limits: ListenerLimits = ListenerLimits()
    """Of each client; those of its key come before them."""

    trusted_proxies: tuple[Network, ...] = ()
    """Proxies whose `X-Forwarded-For` is believed."""

    generation_timeout_seconds: float = 600.0
    """Deadline of one generation call, from request to last token."""

    control_timeout_seconds: float = 10.0
    """Deadline of every call that generates nothing."""

    load_timeout_seconds: float = 600.0
    """Deadline of every call that loads or unloads a model; the core goes on after it."""

    keepalive_seconds: float = 5.0
    """A stream that was silent for this long carries a `:` comment."""

    max_body_bytes: int = 8 * MEBIBYTE
    """Largest JSON request body; a larger one is a 413."""

    max_audio_bytes: int = 100 * MEBIBYTE
    """Largest recording in an upload; a larger one is a 413."""

    body_idle_seconds: float = 30.0
    """How long an upload may make no progress."""

    max_message_bytes: int = 4 * MEBIBYTE
    """Largest gRPC request the core accepts; a larger prompt is a 413."""

    prompt_concurrency: int = 8
    """How many prompts of one completion request are with the core at the same time."""

    @property
    def asks_core(self) -> bool:
        """Whether the core must let each request in."""
        return self.keys or self.limits != ListenerLimits()

    def __post_init__(self) -> None:
        if not self.core_address:
            raise ValueError("core_address must not be empty; give host:port or unix:/path")
        for name in (
            "generation_timeout_seconds",
            "control_timeout_seconds",
            "load_timeout_seconds",
            "keepalive_seconds",
            "max_body_bytes",
            "max_audio_bytes",
            "body_idle_seconds",
            "max_message_bytes",
            "prompt_concurrency",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than 0; got {getattr(self, name)}")
