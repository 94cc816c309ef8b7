"""From settings to the options that the service and the façade take."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from sterna_rest.access.client import parse_networks
from sterna_rest.options import FacadeOptions
from sterna_server.limiting import grpc_limits, rest_limits
from sterna_server.sections.listener import Listener
from sterna_server.sections.models import adapter_paths
from sterna_server.settings import Settings
from sterna_server.telemetry import Telemetry
from sterna_server.tls import core_tls, grpc_files
from sterna_service.app import CoreOptions
from sterna_service.speech.options import SpeechOptions
from sterna_service.webhooks.options import WebhookOptions


def core_options(
    settings: Settings,
    *,
    tcp: bool = True,
    unix_path: Path | None,
    telemetry: Telemetry | None = None,
    metrics: CollectorRegistry | None = None,
) -> CoreOptions:
    """Options of a core; without `tcp` it listens on its Unix socket alone."""
    return CoreOptions(
        model=settings.model or None,
        home=settings.home,
        preload=settings.preload,
        adapters=adapter_paths(settings.adapter),
        default_adapter=settings.default_adapter,
        adapter_precision=settings.adapter_precision,
        aliases=settings.aliases,
        tokenizers=settings.tokenizers,
        host=settings.grpc_host if tcp else None,
        port=settings.grpc_port,
        unix_path=unix_path,
        # A core that no network reaches belongs to the process that started it.
        keys=settings.auth == "keys" and tcp,
        certificates=grpc_files(settings) if tcp else None,
        client_timeout_seconds=settings.client_timeout,
        limits=grpc_limits(settings),
        limits_storage=settings.limits_storage.get_secret_value(),
        trusted_proxies=tuple(settings.trusted_proxies),
        harness=settings.harness,
        search_provider=settings.search_provider,
        search_endpoint=settings.search_endpoint,
        search_private_pages=settings.search_private_pages,
        hub_endpoint=settings.hub_endpoint or None,
        hub_token=settings.hub_token.get_secret_value() or None,
        embedding_model=settings.embedding_model or None,
        embedding_pooling=settings.embedding_pooling,
        embedding_threads=settings.embedding_threads,
        autoload=settings.autoload,
        keep_alive_seconds=settings.keep_alive,
        model_memory_bytes=settings.model_memory,
        threads=settings.threads,
        max_batch=settings.max_batch,
        max_queue=settings.max_queue,
        max_batch_tokens=settings.max_batch_tokens,
        kv_cache_tokens=settings.kv_cache_tokens,
        kv_cache_dtype=settings.kv_cache_dtype,
        prefix_cache=settings.prefix_cache,
        attention_tiles=settings.attention_tiles,
        speculation=settings.speculation,
        max_draft_tokens=settings.max_draft_tokens,
        exact_head_screening=settings.exact_head_screening,
        head_precision=settings.unembed_quant,
        sparsity=settings.sparsity,
        default_max_tokens=settings.default_max_tokens,
        default_temperature=settings.default_temperature,
        default_top_p=settings.default_top_p,
        database_url=settings.database_url,
        session_ttl_seconds=settings.session_ttl,
        answer_ttl_seconds=settings.answer_ttl,
        webhooks=webhook_options(settings),
        speech=speech_options(settings) if settings.voice else None,
        metrics=metrics,
        tracing=telemetry.traces.calls if telemetry and telemetry.traces else None,
    )


def database_place(settings: Settings) -> Path | str:
    """Where the core keeps what outlives it: a file, or a URL."""
    return settings.database_url or settings.home.expanduser() / "state.db"


def webhook_options(settings: Settings) -> WebhookOptions:
    """Options of webhooks."""
    return WebhookOptions(
        private_targets=settings.webhook_private_targets,
        timeout_seconds=settings.webhook_timeout,
        retry_delays=tuple(settings.webhook_retry_delays),
    )


def speech_options(settings: Settings) -> SpeechOptions:
    """Options of recognition and synthesis."""
    return SpeechOptions(
        recognition_model=settings.whisper_model,
        recognition_compute_type=settings.whisper_compute_type,
        recognition_threads=settings.whisper_threads,
        synthesis_model=settings.tts_model,
        voices_dir=settings.voices_dir,
        espeak=settings.voice_espeak,
        consent_required=settings.voice_consent,
        preload=settings.voice_preload,
        keep_alive_seconds=settings.voice_keep_alive,
        max_queue=settings.voice_queue,
        max_audio_bytes=settings.max_audio_bytes,
        max_audio_seconds=settings.max_audio_seconds,
        conversation_idle_seconds=settings.conversation_idle,
    )


def facade_options(
    settings: Settings, telemetry: Telemetry, *, core_address: str, listener: Listener
) -> FacadeOptions:
    """Options of a façade in front of the core at `core_address`."""
    return FacadeOptions(
        core_address=core_address,
        ollama=listener.ollama,
        metrics=telemetry.http,
        trace=telemetry.traces.http.wrap if telemetry.traces else None,
        show_metrics=settings.metrics and not settings.metrics_listen,
        keys=settings.auth == "keys",
        listener=f"{listener.host}:{listener.port}",
        limits=rest_limits(settings, listener),
        trusted_proxies=parse_networks(settings.trusted_proxies),
        cors_origins=tuple(settings.cors_origins),
        tls=None if core_address.startswith("unix:") else core_tls(settings),
        generation_timeout_seconds=settings.request_timeout,
        body_idle_seconds=settings.client_timeout,
        max_body_bytes=settings.max_body_bytes,
        max_audio_bytes=settings.max_audio_bytes,
    )


def remote_core(settings: Settings) -> str:
    """The core that a separate process talks to: the one named, or the one of this machine."""
    return settings.core or f"{settings.grpc_host}:{settings.grpc_port}"
