"""The core as one object: load a model, listen, serve, stop gracefully."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class CoreOptions:
    """Everything a core needs to start. Each value is checked when the core starts."""

    model: str | None = None
    """An id in the store (`ORG/NAME`), a checkpoint directory, or None for the embedded model."""
    home: Path = field(default_factory=lambda: Path.home() / ".sterna")
    """Where models (`models/ORG/NAME`) and packed bundles (`bundles/`) live."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Further names for models, alias to id; an alias may be a glob (`gpt-*`, `*`)."""

    host: str | None = "127.0.0.1"
    """The address of the TCP listener; None listens on the Unix socket alone."""
    port: int = 50051
    """The TCP port; 0 takes any free one, which `Core.address` then names."""
    unix_path: Path | None = None
    """The path of the Unix socket; None makes one in a private directory of its own."""

    threads: int = 0
    """Threads of the engine; 0 takes what the process may use."""
    max_batch: int = 16
    """Sequences that run at the same time."""
    max_queue: int = 64
    """Requests that wait; one more is refused."""
    max_batch_tokens: int = 256
    """Prompt tokens computed in one step."""
    kv_cache_tokens: int = 0
    """Capacity of the KV cache in tokens; 0 lets the engine choose."""
    prefix_cache: bool = True
    """Whether prompts that begin alike share what was computed."""

    max_call_seconds: float = 3600.0
    """The longest a call may take, whatever deadline its client set."""
    max_message_bytes: int = 4 * 1024 * 1024
    """The largest request accepted, in bytes."""
    reflection: bool = True
    """Whether clients may ask for the schema."""


class Core:
    """A running core."""

    @property
    def address(self) -> str:
        """`host:port` of the TCP listener; the Unix address when there is none."""
        raise NotImplementedError

    @property
    def unix_address(self) -> str:
        """The Unix socket as a gRPC target: `unix:/path`."""
        raise NotImplementedError

    async def stop(self, grace_seconds: float = 30.0) -> None:
        """Stops: not serving, no new work, running calls get `grace_seconds`, then the end."""
        raise NotImplementedError

    async def wait(self) -> None:
        """Returns when the core has stopped."""
        raise NotImplementedError


async def start_core(options: CoreOptions) -> Core:
    """Starts a core and returns when its default model can answer.

    Raises:
        StartupError: A setting is out of range, a port is taken, or the model cannot be loaded.
    """
    raise NotImplementedError
