"""The parts of a core, each made from the options that concern it."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING

from sterna_service.access.addresses import parse_networks
from sterna_service.access.counters import Counters
from sterna_service.access.limiter import Limiter
from sterna_service.encoders.encoder import EncoderOptions
from sterna_service.encoders.traits import Pooling
from sterna_service.engine.host import inspect_host
from sterna_service.engine.types import EngineOptions
from sterna_service.inference.harness import Harnesses
from sterna_service.inference.sampling import RequestDefaults
from sterna_service.inference.spec import Harness, HarnessChoice
from sterna_service.kept import KeepOptions, Kept
from sterna_service.models.adapters import given_at_start
from sterna_service.models.events import EventLog
from sterna_service.models.hub import Hub
from sterna_service.models.loading import LoadingOptions
from sterna_service.models.pulls import Pulls
from sterna_service.models.registry import ModelRegistry, RegistryOptions
from sterna_service.models.resident import FOR_GOOD
from sterna_service.models.store import Store
from sterna_service.options import CoreOptions
from sterna_service.rpc.gate import Gate, GateOptions
from sterna_service.rpc.model_admin import server_version
from sterna_service.rpc.server import RpcServer, ServerLimits
from sterna_service.search.providers import make_provider
from sterna_service.speech.runtime import Speech
from sterna_service.telemetry.host import memory
from sterna_service.telemetry.metrics import CoreMetrics
from sterna_service.telemetry.reading import read_core
from sterna_service.telemetry.scrape import CoreCollector

if TYPE_CHECKING:
    from sterna_service.search.research import Researcher


def loading_options(options: CoreOptions) -> LoadingOptions:
    """How models are loaded.

    Raises:
        ServiceError: A request's default is out of range.
    """
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


def make_registry(
    options: CoreOptions, loading: LoadingOptions, metrics: CoreMetrics
) -> ModelRegistry:
    """The models, none of which is loaded yet."""
    return ModelRegistry(
        options.home.expanduser(), _registry_options(options), loading, metrics.loaded
    )


def keep_options(options: CoreOptions) -> KeepOptions:
    """Where conversations, answers, keys and webhooks are kept."""
    return KeepOptions(
        where=options.database_url or options.home.expanduser() / "state.db",
        session_ttl=timedelta(seconds=options.session_ttl_seconds),
        answer_ttl=timedelta(seconds=options.answer_ttl_seconds),
        webhooks=options.webhooks,
    )


def make_pulls(options: CoreOptions, events: EventLog) -> Pulls:
    """Who brings models into the store, and tells `events` of it."""
    store = Store(options.home.expanduser())
    return Pulls(store, Hub(options.hub_endpoint, options.hub_token), events)


def make_speech(options: CoreOptions, metrics: CoreMetrics) -> Speech | None:
    """Recognition and synthesis, which do not run yet; None where they are not wanted."""
    if options.speech is None:
        return None
    return Speech(options.speech, options.home.expanduser(), inspect_host().threads, metrics.heard)


def make_server(
    options: CoreOptions,
    models: ModelRegistry,
    pulls: Pulls,
    kept: Kept,
    speech: Speech | None,
    metrics: CoreMetrics,
) -> RpcServer:
    """The server that offers all of them; it does not listen yet."""
    return RpcServer(
        models,
        pulls,
        speech,
        kept.sessions,
        kept.answers,
        kept.webhooks,
        _harnesses(options),
        metrics,
        options.tracing,
        ServerLimits(
            options.max_call_seconds, options.max_message_bytes, options.client_timeout_seconds
        ),
        _gate(options, kept),
        kept.usage,
        with_reflection=options.reflection,
    )


def make_collector(
    server: RpcServer, models: ModelRegistry, kept: Kept, speech: Speech | None
) -> CoreCollector:
    """Who reads the state of the core whenever somebody asks for metrics."""
    return CoreCollector(
        lambda: read_core(
            models,
            speech,
            kept.webhooks,
            version=server_version(),
            draining=server.book.draining,
            active_calls=server.book.active,
        )
    )


def _harnesses(options: CoreOptions) -> Harnesses:
    def make_researcher(provider: str) -> Researcher:
        found = make_provider(provider, options.search_endpoint)
        # Only now: they need packages that come with an extra.
        from sterna_service.search.pages import PageFetcher
        from sterna_service.search.research import Researcher

        return Researcher(found, PageFetcher(allow_private=options.search_private_pages))

    return Harnesses(make_researcher)


def _gate(options: CoreOptions, kept: Kept) -> Gate:
    return Gate(
        kept.keyring if options.keys else None,
        Limiter(Counters(options.limits_storage)),
        GateOptions(options.limits, parse_networks(options.trusted_proxies)),
    )


def _engine_options(options: CoreOptions) -> EngineOptions:
    sizes = {field.name: getattr(options, field.name) for field in fields(EngineOptions)}
    return EngineOptions(**sizes)


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


def _most_memory() -> int:
    """Four fifths of what this process may have; 0 when the system does not tell."""
    now = memory()
    return (now.limit or now.host_total) * 4 // 5
