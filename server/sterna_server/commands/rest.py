"""`sterna rest`: the REST façade alone, in front of a core elsewhere."""

from __future__ import annotations

import typer

from sterna_server.commands import parameters
from sterna_server.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("rest")(rest)


def rest(
    core: parameters.listeners.CoreAddress = None,
    core_tls: parameters.tls.CoreTls = None,
    core_ca: parameters.tls.CoreCa = None,
    core_cert: parameters.tls.CoreCert = None,
    core_key: parameters.tls.CoreKey = None,
    core_name: parameters.tls.CoreName = None,
    host: parameters.listeners.Host = None,
    port: parameters.listeners.RestPort = None,
    listen: parameters.listeners.Listen = None,
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
