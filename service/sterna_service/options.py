"""What a core must be told, and within which limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from sterna_service.access.limits import NO_LIMITS, Limits
from sterna_service.engine.adapter import ADAPTER_PRECISIONS, AdapterPrecision
from sterna_service.engine.types import EngineOptions
from sterna_service.errors import StartupError
from sterna_service.inference.sessions import LONGEST_TTL
from sterna_service.models.resident import LONGEST_KEEP_ALIVE
from sterna_service.network.certificates import CertificateFiles
from sterna_service.speech.options import SpeechOptions
from sterna_service.speech.runtime import check_options as check_speech_options
from sterna_service.telemetry.spans import Tracing
from sterna_service.webhooks.options import WebhookOptions
from sterna_service.webhooks.options import check_options as check_webhook_options

# The kernel keeps a socket's path in 108 bytes, the last of which is zero.
_LONGEST_SOCKET_PATH = 107


@dataclass(frozen=True)
class CoreOptions(EngineOptions):
    """Everything a core needs to start, with the sizes of its engines, of which each model has one.

    Each value is checked when the core starts.
    """

    model: str | None = None
    """An id in the store (`ORG/NAME`), a checkpoint directory, or None for the embedded model."""
    preload: bool = True
    """Whether the default model is loaded at the start, or with the first request."""
    home: Path = field(default_factory=lambda: Path.home() / ".sterna")
    """Where models (`models/ORG/NAME`), packed bundles (`bundles/`) and `state.db` live."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Further names for models, alias to id; an alias may be a glob (`gpt-*`, `*`)."""
    tokenizers: Mapping[str, Path] = field(default_factory=dict)
    """Where a model's tokenizer is, model id to directory, for models that come without theirs."""

    adapters: Mapping[str, str] = field(default_factory=dict)
    """LoRA adapters of the default model, id to directory: one of the store, or the operator's."""
    default_adapter: str = ""
    """Which of them requests get that name none; empty: they get the model alone."""
    adapter_precision: AdapterPrecision = "none"
    """How their weights are held."""

    host: str | None = "127.0.0.1"
    """The address of the TCP listener; None listens on the Unix socket alone."""
    port: int = 50051
    """The TCP port; 0 takes any free one, which `Core.address` then names."""
    unix_path: Path | None = None
    """The path of the Unix socket; None makes one in a private directory of its own."""

    certificates: CertificateFiles | None = None
    """With them, the TCP listener speaks TLS. The Unix socket never does."""
    keys: bool = False
    """Whether every call needs an API key of the database."""
    limits: Limits = NO_LIMITS
    """Of each client of the TCP listener; those of its key come before them."""
    limits_storage: str = ""
    """A Redis (`redis://host:port`) in which several cores count together; empty: each for
    itself."""
    trusted_proxies: Sequence[str] = ()
    """Addresses and networks of façades that say who their clients are; Unix sockets always may."""

    autoload: bool = True
    """Whether a request for a model of the store loads it."""
    keep_alive_seconds: float = -1.0
    """How long a model stays loaded without a request; negative: for good."""
    model_memory_bytes: int = 0
    """What the loaded models may take together; 0: four fifths of the memory there is."""

    embedding_model: str | None = None
    """The model of requests for vectors that name none, given as `model` is; None: that one."""
    embedding_pooling: str = "mean"
    """How language models make vectors where their files do not say it: `mean` or `last`."""
    embedding_threads: int = 0
    """Threads of a sentence encoder; 0: half of what the process may use."""

    hub_endpoint: str | None = None
    """Where models are pulled from; None: HF_ENDPOINT, or the public hub."""
    hub_token: str | None = None
    """Who pulls them; None: HF_TOKEN, or nobody."""

    harness: str = "default"
    """What chats go through that name no harness: `default` or `search`."""
    search_provider: str = "ddgs"
    """Where searches go that name no provider: `ddgs` or `brave`."""
    search_endpoint: str = ""
    """Brave's address, where it is not the public one."""
    search_private_pages: bool = False
    """Whether pages of private networks are read, too. A page may then ask for anything that this
    machine reaches."""

    default_max_tokens: int = 0
    """The most tokens of an answer whose request names no limit; 0: what the context leaves."""
    default_temperature: float | None = None
    """The temperature of requests that name none; None: the model's own."""
    default_top_p: float | None = None
    """`top_p` of requests that name none; None: the model's own."""

    database_url: str = ""
    """Where conversations, answers and webhooks are kept: `postgresql://…` or `sqlite:///FILE`;
    empty: `state.db` in the home directory."""
    session_ttl_seconds: float = 30 * 86400.0
    """How long a stored conversation is kept without use, unless its creator says otherwise."""
    answer_ttl_seconds: float = 30 * 86400.0
    """The same for a stored answer."""

    webhooks: WebhookOptions = field(default_factory=WebhookOptions)
    """How HTTP addresses are told what happens."""

    speech: SpeechOptions | None = None
    """Recognition and synthesis; None runs the core without them."""

    metrics: CollectorRegistry | None = None
    """Where the core registers what it measures; None: a registry of its own."""

    tracing: Tracing | None = None
    """Who records the spans of calls; None: nobody."""

    max_call_seconds: float = 3600.0
    """The longest a call may take, whatever deadline its client set."""
    client_timeout_seconds: float = 30.0
    """How long a client may take to begin to speak gRPC, TLS included."""
    max_message_bytes: int = 4 * 1024 * 1024
    """The largest request accepted, in bytes."""
    reflection: bool = True
    """Whether clients may ask for the schema."""


def check_options(options: CoreOptions) -> None:
    """Checks what nobody else would check in time; the engine checks its own sizes.

    Raises:
        StartupError: A value is out of its range.
    """
    if not 0 <= options.port <= 65535:
        raise StartupError(f"port must be 0 to 65535, got {options.port}")
    if options.host == "":
        raise StartupError("host must not be empty; 127.0.0.1 is this machine, 0.0.0.0 everybody")
    if options.embedding_pooling not in ("mean", "last"):
        raise StartupError(
            f"embedding_pooling must be mean or last, got {options.embedding_pooling!r}"
        )
    if not 0 <= options.embedding_threads <= 1024:
        raise StartupError(f"embedding_threads must be 0 to 1024, got {options.embedding_threads}")
    if options.adapter_precision not in ADAPTER_PRECISIONS:
        raise StartupError(
            f"adapter_precision must be {', '.join(ADAPTER_PRECISIONS)}, got "
            f"{options.adapter_precision!r}"
        )
    if options.speech is not None:
        check_speech_options(options.speech)
    check_webhook_options(options.webhooks)
    seconds = options.max_call_seconds
    if not (math.isfinite(seconds) and seconds > 0):
        raise StartupError(f"max_call_seconds must be above 0, got {seconds}")
    if not options.keep_alive_seconds <= LONGEST_KEEP_ALIVE:
        raise StartupError(
            f"keep_alive_seconds must be at most {LONGEST_KEEP_ALIVE:.0f}, or negative for good, "
            f"got {options.keep_alive_seconds}"
        )
    longest = LONGEST_TTL.total_seconds()
    for name in ("session_ttl_seconds", "answer_ttl_seconds"):
        span = getattr(options, name)
        if not 1 <= span <= longest:
            raise StartupError(f"{name} must be 1 to {longest:.0f}, got {span}")
    if not 1024 <= options.max_message_bytes < 2**31:
        raise StartupError(
            f"max_message_bytes must be 1024 to {2**31 - 1}, got {options.max_message_bytes}"
        )
    if options.unix_path is not None:
        length = len(str(options.unix_path).encode())
        if length > _LONGEST_SOCKET_PATH:
            raise StartupError(
                f"unix_path must be at most {_LONGEST_SOCKET_PATH} bytes long, has {length}: "
                f"{options.unix_path}"
            )
