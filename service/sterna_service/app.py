"""The core as one object: listen, load a model, serve, stop gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from sterna_service.access.addresses import parse_networks
from sterna_service.access.counters import Counters
from sterna_service.access.limiter import Limiter
from sterna_service.access.limits import NO_LIMITS, Limits
from sterna_service.encoders.encoder import EncoderOptions
from sterna_service.encoders.traits import Pooling
from sterna_service.engine.adapter import ADAPTER_PRECISIONS, AdapterPrecision
from sterna_service.engine.host import inspect_host
from sterna_service.engine.types import EngineOptions, HeadPrecision, KvCacheDtype, Speculation
from sterna_service.errors import ModelLoadError, ServiceError, StartupError
from sterna_service.inference.harness import Harnesses
from sterna_service.inference.sampling import RequestDefaults
from sterna_service.inference.sessions import LONGEST_TTL
from sterna_service.inference.spec import Harness, HarnessChoice
from sterna_service.kept import KeepOptions, Kept
from sterna_service.models.adapters import given_at_start
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.events import EventKind
from sterna_service.models.hub import Hub
from sterna_service.models.loading import LoadingOptions
from sterna_service.models.pulls import Pulls
from sterna_service.models.registry import ModelRegistry, RegistryOptions
from sterna_service.models.resident import FOR_GOOD
from sterna_service.models.store import Store
from sterna_service.network.certificates import CertificateFiles
from sterna_service.rpc.gate import Gate, GateOptions
from sterna_service.rpc.model_admin import server_version
from sterna_service.rpc.server import RpcServer, ServerLimits
from sterna_service.search.providers import make_provider
from sterna_service.speech.options import SpeechOptions
from sterna_service.speech.runtime import Speech, check_options
from sterna_service.telemetry.host import memory
from sterna_service.telemetry.metrics import CoreMetrics
from sterna_service.telemetry.reading import read_core
from sterna_service.telemetry.scrape import CoreCollector
from sterna_service.telemetry.spans import Tracing
from sterna_service.webhooks.options import WebhookOptions
from sterna_service.webhooks.options import check_options as check_webhook_options

if TYPE_CHECKING:
    from sterna_service.search.research import Researcher

_log = logging.getLogger(__name__)

# The kernel keeps a socket's path in 108 bytes, the last of which is zero.
_LONGEST_SOCKET_PATH = 107

# How long cut-off calls have to send their status, in seconds.
_FAREWELL_SECONDS = 1.0


@dataclass(frozen=True)
class CoreOptions:
    """Everything a core needs to start. Each value is checked when the core starts."""

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
    kv_cache_dtype: KvCacheDtype = "bf16"
    """How the KV cache holds its numbers."""
    prefix_cache: bool = True
    """Whether prompts that begin alike share what was computed."""
    attention_tiles: bool = True
    """Whether rows of a prompt share passes over the KV cache, and threads share long rows."""
    speculation: Speculation = "auto"
    """Whether tokens are guessed ahead and verified together; the answers are the same."""
    max_draft_tokens: int = 8
    """Tokens guessed ahead of one sequence."""
    exact_head_screening: bool = True
    """Whether tokens are chosen from half of the bytes of a large output head; the answers are the
    same."""
    head_precision: HeadPrecision = ""
    """How output heads are held: `bf16`, `int8`, `q8_0`, `q6_k`, `q5_0` or `q4_0`; empty: as the
    checkpoint has it."""
    sparsity: bool = True
    """Whether weights that the zeros of a ReLU² model make superfluous are skipped."""

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


class Core:
    """A running core. Made by `start_core`; belongs to the event loop that made it."""

    def __init__(
        self,
        server: RpcServer,
        models: ModelRegistry,
        pulls: Pulls,
        kept: Kept,
        speech: Speech | None,
        address: str | None,
        unix_path: Path,
        private_directory: Path | None,
        metrics: CoreMetrics,
    ) -> None:
        self._server = server
        self._models = models
        self._pulls = pulls
        self._kept = kept
        self._speech = speech
        self._address = address
        self._unix_path = unix_path
        self._private_directory = private_directory
        self.metrics = metrics
        """What the core measures as it works."""
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    @property
    def address(self) -> str:
        """`host:port` of the TCP listener; the Unix address when there is none."""
        return self._address or self.unix_address

    @property
    def unix_address(self) -> str:
        """The Unix socket as a gRPC target: `unix:/path`."""
        return f"unix:{self._unix_path}"

    @property
    def default_model_id(self) -> str:
        """The model of requests that name none."""
        return self._models.names.default_model_id or ""

    async def stop(self, grace_seconds: float = 30.0) -> None:
        """Stops the core; a second call waits for the first.

        From the first moment on, health is not serving and new work is refused with a hint to try
        elsewhere. Running calls get the grace period to finish, then they fail likewise.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(grace_seconds))
        # A caller that is cancelled does not interrupt the stop that others wait for.
        await asyncio.shield(self._stopping)

    async def wait(self) -> None:
        """Returns when the core has stopped."""
        await self._stopped.wait()

    async def _stop(self, grace_seconds: float) -> None:
        book = self._server.book
        try:
            await self._server.begin_draining()
            self._models.events.add(EventKind.SERVER_DRAINING)
            self._models.events.close()
            _log.info("stopping", extra={"active": book.active, "grace_seconds": grace_seconds})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(book.wait_idle(), grace_seconds)
            if book.active:
                _log.warning("the grace period is over", extra={"active": book.active})
            await self._pulls.close()
            # Whoever still waits for tokens is told that the server stops.
            await self._models.close()
            if self._speech is not None:
                await self._speech.close()
            await self._server.stop(_FAREWELL_SECONDS)
        finally:
            await self._kept.close()
            self._remove_socket()
            self._stopped.set()
            _log.info("stopped")

    def _remove_socket(self) -> None:
        with contextlib.suppress(OSError):
            self._unix_path.unlink(missing_ok=True)
        if self._private_directory is not None:
            shutil.rmtree(self._private_directory, ignore_errors=True)


async def start_core(options: CoreOptions) -> Core:
    """Starts a core and returns when its default model can answer, or could be loaded for it.

    It listens from the beginning: until the model is there, health says so and requests get
    MODEL_LOADING.

    Raises:
        StartupError: A setting is out of range, a port is taken, or the model cannot be loaded.
            Nothing is left running.
    """
    _check(options)
    try:
        loading = _loading_options(options)
    except ServiceError as error:
        raise StartupError(error.message) from None
    metrics = CoreMetrics(options.metrics)
    models = ModelRegistry(
        options.home.expanduser(), _registry_options(options), loading, metrics.loaded
    )
    try:
        sources = [models.names.select_default(options.model)]
        if options.embedding_model:
            sources.append(models.names.select_embedding(options.embedding_model))
    except ModelLoadError as error:
        raise StartupError(str(error)) from None
    kept = await Kept.open(_keep_options(options))
    try:
        core = await _listen(options, models, kept, metrics)
    except BaseException:
        await kept.close()
        raise
    try:
        if options.preload:
            for source in sources:
                await _load(models, source)
    except BaseException:
        await core.stop(grace_seconds=0.0)
        raise
    await core._server.set_ready()
    return core


async def _load(models: ModelRegistry, source: ModelSource) -> None:
    try:
        await models.load_at_start(source)
    except (ModelLoadError, ServiceError) as error:
        raise StartupError(f"cannot load the model {source.model_id}: {error}") from None


async def _listen(
    options: CoreOptions, models: ModelRegistry, kept: Kept, metrics: CoreMetrics
) -> Core:
    def make_researcher(provider: str) -> Researcher:
        found = make_provider(provider, options.search_endpoint)
        # Only now: they need packages that come with an extra.
        from sterna_service.search.pages import PageFetcher
        from sterna_service.search.research import Researcher

        return Researcher(found, PageFetcher(allow_private=options.search_private_pages))

    store = Store(options.home.expanduser())
    pulls = Pulls(store, Hub(options.hub_endpoint, options.hub_token), models.events)
    speech = None
    if options.speech is not None:
        speech = Speech(
            options.speech, options.home.expanduser(), inspect_host().threads, metrics.heard
        )
    if options.keys and not await kept.keyring.count():
        _log.warning("no API key exists, so nobody can call; `sterna keys create` makes one")
    server = RpcServer(
        models,
        pulls,
        speech,
        kept.sessions,
        kept.answers,
        kept.webhooks,
        Harnesses(make_researcher),
        metrics,
        options.tracing,
        ServerLimits(
            options.max_call_seconds, options.max_message_bytes, options.client_timeout_seconds
        ),
        _gate(options, kept),
        kept.usage,
        with_reflection=options.reflection,
    )
    metrics.registry.register(
        CoreCollector(
            lambda: read_core(
                models,
                speech,
                kept.webhooks,
                version=server_version(),
                draining=server.book.draining,
                active_calls=server.book.active,
            )
        )
    )
    private_directory: Path | None = None
    unix_path = options.unix_path
    try:
        address = port = None
        if options.host is not None:
            port = server.listen_tcp(options.host, options.port, options.certificates)
            address = f"{_bracketed(options.host)}:{port}"
        if unix_path is None:
            # mkdtemp makes it for this user alone, and so is the socket.
            private_directory = Path(tempfile.mkdtemp(prefix="sterna-"))
            unix_path = private_directory / "core.sock"
        server.listen_unix(unix_path)
        await server.start()
    except BaseException:
        await server.stop(0.0)
        if private_directory is not None:
            shutil.rmtree(private_directory, ignore_errors=True)
        raise
    if speech is not None:
        speech.start()
    kept.start(models.events, port)
    core = Core(server, models, pulls, kept, speech, address, unix_path, private_directory, metrics)
    _log.info("listening", extra={"address": core.address, "unix": str(unix_path)})
    return core


def _keep_options(options: CoreOptions) -> KeepOptions:
    return KeepOptions(
        where=options.database_url or options.home.expanduser() / "state.db",
        session_ttl=timedelta(seconds=options.session_ttl_seconds),
        answer_ttl=timedelta(seconds=options.answer_ttl_seconds),
        webhooks=options.webhooks,
    )


def _gate(options: CoreOptions, kept: Kept) -> Gate:
    return Gate(
        kept.keyring if options.keys else None,
        Limiter(Counters(options.limits_storage)),
        GateOptions(options.limits, parse_networks(options.trusted_proxies)),
    )


def _engine_options(options: CoreOptions) -> EngineOptions:
    return EngineOptions(
        threads=options.threads,
        max_batch=options.max_batch,
        max_queue=options.max_queue,
        max_batch_tokens=options.max_batch_tokens,
        kv_cache_tokens=options.kv_cache_tokens,
        kv_cache_dtype=options.kv_cache_dtype,
        prefix_cache=options.prefix_cache,
        attention_tiles=options.attention_tiles,
        speculation=options.speculation,
        max_draft_tokens=options.max_draft_tokens,
        exact_head_screening=options.exact_head_screening,
        head_precision=options.head_precision,
        sparsity=options.sparsity,
    )


def _registry_options(options: CoreOptions) -> RegistryOptions:
    return RegistryOptions(
        aliases=options.aliases,
        autoload=options.autoload,
        keep_alive=options.keep_alive_seconds if options.keep_alive_seconds >= 0 else FOR_GOOD,
        memory_bytes=options.model_memory_bytes or _most_memory(),
        preload=options.preload,
        harness=HarnessChoice(Harness(options.harness), options.search_provider),
        adapters=given_at_start(
            options.home.expanduser(),
            options.adapters,
            options.default_adapter,
            options.adapter_precision,
        ),
        default_adapter=options.default_adapter,
    )


def _loading_options(options: CoreOptions) -> LoadingOptions:
    # The engine's threads have the other half, and both are seldom busy at the same time.
    threads = options.embedding_threads or max(1, inspect_host().threads // 2)
    return LoadingOptions(
        engine=_engine_options(options),
        encoder=EncoderOptions(threads=threads, max_queue=options.max_queue),
        pooling=Pooling(options.embedding_pooling),
        tokenizers=options.tokenizers,
        requests=RequestDefaults(
            options.default_max_tokens, options.default_temperature, options.default_top_p
        ),
    )


def _most_memory() -> int:
    """Four fifths of what this process may have; 0 when the system does not tell."""
    now = memory()
    return (now.limit or now.host_total) * 4 // 5


def _check(options: CoreOptions) -> None:
    """Checks what nobody else would check in time; the engine checks its own sizes."""
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
        check_options(options.speech)
    check_webhook_options(options.webhooks)
    seconds = options.max_call_seconds
    if not (math.isfinite(seconds) and seconds > 0):
        raise StartupError(f"max_call_seconds must be above 0, got {seconds}")
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


def _bracketed(host: str) -> str:
    """A host as it stands before `:port`."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
