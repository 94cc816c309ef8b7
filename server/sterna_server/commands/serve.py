"""`sterna serve`: core and façade in one process."""

from __future__ import annotations

import typer

from sterna_server.commands import parameters
from sterna_server.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    model: parameters.models.Model = None,
    adapter: parameters.models.Adapter = None,
    default_adapter: parameters.models.DefaultAdapter = None,
    adapter_precision: parameters.models.AdapterPrecision = None,
    host: parameters.listeners.Host = None,
    port: parameters.listeners.RestPort = None,
    listen: parameters.listeners.Listen = None,
    grpc_host: parameters.listeners.GrpcHost = None,
    grpc_port: parameters.listeners.GrpcPort = None,
    unix_path: parameters.listeners.UnixPath = None,
    tls_cert: parameters.tls.TlsCert = None,
    tls_key: parameters.tls.TlsKey = None,
    tls_client_ca: parameters.tls.TlsClientCa = None,
    cors_origins: parameters.listeners.CorsOrigins = None,
    limit_requests: parameters.limits.LimitRequests = None,
    limit_tokens: parameters.limits.LimitTokens = None,
    limit_concurrent: parameters.limits.LimitConcurrent = None,
    limit_streams: parameters.limits.LimitStreams = None,
    limit_upload: parameters.limits.LimitUpload = None,
    trusted_proxies: parameters.limits.TrustedProxies = None,
    auth: parameters.access.Auth = None,
    allow_unauthenticated: parameters.access.AllowUnauthenticated = None,
    harness: parameters.models.Harness = None,
    search_provider: parameters.models.SearchProvider = None,
    hub_endpoint: parameters.models.HubEndpoint = None,
    preload: parameters.models.Preload = None,
    embedding_model: parameters.embeddings.EmbeddingModel = None,
    embedding_pooling: parameters.embeddings.EmbeddingPooling = None,
    embedding_threads: parameters.embeddings.EmbeddingThreads = None,
    autoload: parameters.models.Autoload = None,
    keep_alive: parameters.models.KeepAlive = None,
    model_memory: parameters.models.ModelMemory = None,
    threads: parameters.engine.Threads = None,
    max_batch: parameters.engine.MaxBatch = None,
    max_queue: parameters.engine.MaxQueue = None,
    max_batch_tokens: parameters.engine.MaxBatchTokens = None,
    kv_cache_tokens: parameters.engine.KvCacheTokens = None,
    kv_cache_dtype: parameters.engine.KvCacheDtype = None,
    prefix_cache: parameters.engine.PrefixCache = None,
    attention_tiles: parameters.engine.AttentionTiles = None,
    speculation: parameters.engine.Speculation = None,
    max_draft_tokens: parameters.engine.MaxDraftTokens = None,
    exact_head_screening: parameters.engine.ExactHeadScreening = None,
    unembed_quant: parameters.engine.UnembedQuant = None,
    sparsity: parameters.engine.Sparsity = None,
    voice: parameters.speech.Voice = None,
    voice_preload: parameters.speech.VoicePreload = None,
    whisper_model: parameters.speech.WhisperModel = None,
    tts_model: parameters.speech.TtsModel = None,
    request_timeout: parameters.requests.RequestTimeout = None,
    grace: parameters.requests.Grace = None,
    metrics: parameters.telemetry.Metrics = None,
    metrics_listen: parameters.telemetry.MetricsListen = None,
    otlp_endpoint: parameters.telemetry.OtlpEndpoint = None,
    home: parameters.models.Home = None,
    config: parameters.configuration.Config = None,
    log_level: parameters.telemetry.LogLevel = None,
    log_format: parameters.telemetry.LogFormat = None,
) -> None:
    """Serve a model over gRPC and an OpenAI-compatible REST API.

    \b
    Examples:
      sterna serve                                the embedded model on 127.0.0.1:8000
      sterna serve ./my-checkpoint --threads 8    a Hugging Face checkpoint directory
      sterna serve --host 0.0.0.0 --auth keys     reachable from other machines
      sterna serve --voice                        with speech; see sterna pull --voice
      sterna serve --listen 127.0.0.1:11434,ollama    for Ollama's clients, too
      STERNA_PORT=3000 sterna serve               the same setting as a variable
    """
    flags = {name: value for name, value in locals().items() if name != "config"}
    settings = load_settings(flags, config)

    from sterna_server import banner, serving
    from sterna_server.logs import start_logging

    start_logging(settings)
    serving.run(serving.serve(settings, ready=banner.announce))
