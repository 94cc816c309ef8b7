"""`sterna core`: the gRPC core alone."""

from __future__ import annotations

import typer

from sterna_server.commands import options
from sterna_server.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("core")(core)


def core(
    model: options.Model = None,
    adapter: options.Adapter = None,
    default_adapter: options.DefaultAdapter = None,
    adapter_precision: options.AdapterPrecision = None,
    grpc_host: options.GrpcHost = None,
    grpc_port: options.GrpcPort = None,
    unix_path: options.UnixPath = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    tls_client_ca: options.TlsClientCa = None,
    limit_requests: options.LimitRequests = None,
    limit_tokens: options.LimitTokens = None,
    limit_concurrent: options.LimitConcurrent = None,
    limit_streams: options.LimitStreams = None,
    limit_upload: options.LimitUpload = None,
    trusted_proxies: options.TrustedProxies = None,
    auth: options.Auth = None,
    allow_unauthenticated: options.AllowUnauthenticated = None,
    harness: options.Harness = None,
    search_provider: options.SearchProvider = None,
    hub_endpoint: options.HubEndpoint = None,
    preload: options.Preload = None,
    embedding_model: options.EmbeddingModel = None,
    embedding_pooling: options.EmbeddingPooling = None,
    embedding_threads: options.EmbeddingThreads = None,
    autoload: options.Autoload = None,
    keep_alive: options.KeepAlive = None,
    model_memory: options.ModelMemory = None,
    threads: options.Threads = None,
    max_batch: options.MaxBatch = None,
    max_queue: options.MaxQueue = None,
    max_batch_tokens: options.MaxBatchTokens = None,
    kv_cache_tokens: options.KvCacheTokens = None,
    kv_cache_dtype: options.KvCacheDtype = None,
    prefix_cache: options.PrefixCache = None,
    attention_tiles: options.AttentionTiles = None,
    speculation: options.Speculation = None,
    max_draft_tokens: options.MaxDraftTokens = None,
    exact_head_screening: options.ExactHeadScreening = None,
    unembed_quant: options.UnembedQuant = None,
    sparsity: options.Sparsity = None,
    voice: options.Voice = None,
    voice_preload: options.VoicePreload = None,
    whisper_model: options.WhisperModel = None,
    tts_model: options.TtsModel = None,
    grace: options.Grace = None,
    metrics_listen: options.MetricsListen = None,
    otlp_endpoint: options.OtlpEndpoint = None,
    home: options.Home = None,
    config: options.Config = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
) -> None:
    """Serve a model over gRPC only.

    \b
    Examples:
      sterna core                           the embedded model on 127.0.0.1:50051
      sterna core ./my-checkpoint --grpc-host 0.0.0.0 --auth keys
      sterna core & sterna rest             core and façade in two processes
    """
    flags = {name: value for name, value in locals().items() if name != "config"}
    settings = load_settings(flags, config)

    from sterna_server import banner, serving
    from sterna_server.logs import start_logging

    start_logging(settings)
    serving.run(serving.serve_core(settings, ready=banner.announce))
