"""`sterna rest`: the REST façade alone, in front of a core elsewhere."""

from __future__ import annotations

import typer

from sterna_server.commands import options
from sterna_server.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("rest")(rest)


def rest(
    core: options.CoreAddress = None,
    core_tls: options.CoreTls = None,
    core_ca: options.CoreCa = None,
    core_cert: options.CoreCert = None,
    core_key: options.CoreKey = None,
    core_name: options.CoreName = None,
    host: options.Host = None,
    port: options.RestPort = None,
    listen: options.Listen = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    tls_client_ca: options.TlsClientCa = None,
    cors_origins: options.CorsOrigins = None,
    limit_requests: options.LimitRequests = None,
    limit_tokens: options.LimitTokens = None,
    limit_concurrent: options.LimitConcurrent = None,
    limit_streams: options.LimitStreams = None,
    limit_upload: options.LimitUpload = None,
    trusted_proxies: options.TrustedProxies = None,
    auth: options.Auth = None,
    allow_unauthenticated: options.AllowUnauthenticated = None,
    request_timeout: options.RequestTimeout = None,
    grace: options.Grace = None,
    metrics: options.Metrics = None,
    metrics_listen: options.MetricsListen = None,
    otlp_endpoint: options.OtlpEndpoint = None,
    home: options.Home = None,
    config: options.Config = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
) -> None:
    """Serve the OpenAI-compatible REST API in front of a running core.

    The façade keeps no state: run as many as needed. It starts whether or not the core is up,
    and /ready says when the core can answer.

    \b
    Examples:
      sterna rest                                    in front of 127.0.0.1:50051
      sterna rest --core 10.0.0.5:50051 --port 3000
      sterna rest --core unix:/run/sterna/core.sock
    """
    flags = {name: value for name, value in locals().items() if name != "config"}
    settings = load_settings(flags, config)

    from sterna_server import banner, serving
    from sterna_server.logs import start_logging

    start_logging(settings)
    serving.run(serving.serve_rest(settings, ready=banner.announce))
