"""Options that several commands share. None means "not given": the defaults are in `Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A checkpoint directory, or the id of a model in the store (ORG/NAME). "
        "Default: the embedded model.",
        show_default=False,
    ),
]
Adapter = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=PATH",
        help="A LoRA adapter of the model: a directory, or one of the store. May be repeated.",
        show_default=False,
    ),
]
DefaultAdapter = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The adapter of requests that name none. [default: the model alone]",
        show_default=False,
    ),
]
AdapterPrecision = Annotated[
    str | None,
    typer.Option(
        metavar="PRECISION",
        help="How adapters are held: none, bf16, int8, q8_0 or q4_0. [default: none]",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A TOML file with settings. Default: config.toml in the home directory, if present.",
        show_default=False,
    ),
]
Preload = Annotated[
    bool | None,
    typer.Option(
        "--preload/--no-preload",
        help="Load the model at the start, and not with the first request. [default: on]",
        show_default=False,
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        metavar="DIRECTORY",
        help="Where models and packed bundles live. [default: ~/.sterna]",
        show_default=False,
    ),
]
Host = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the REST listener. [default: 127.0.0.1]",
        show_default=False,
    ),
]
RestPort = Annotated[
    int | None,
    typer.Option(
        "--port",
        "-p",
        metavar="PORT",
        help="Port of the REST listener; 0 takes any free one. [default: 8000]",
        show_default=False,
    ),
]
Listen = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST:PORT[,ollama]",
        help="A further REST listener; with ,ollama it speaks Ollama's API. May be repeated.",
        show_default=False,
    ),
]
GrpcHost = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the gRPC listener. [default: 127.0.0.1]",
        show_default=False,
    ),
]
GrpcPort = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        help="Port of the gRPC listener; 0 takes any free one. [default: 50051]",
        show_default=False,
    ),
]
UnixPath = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="A Unix socket for gRPC, beside the TCP listener. [default: a private one]",
        show_default=False,
    ),
]
Auth = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help="Whether requests need an API key: off, or keys (see sterna keys). [default: off]",
        show_default=False,
    ),
]
AllowUnauthenticated = Annotated[
    bool | None,
    typer.Option(
        "--allow-unauthenticated",
        help="Listen without keys where other machines reach it, too.",
        show_default=False,
    ),
]
LimitRequests = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Requests of one client per minute; 0: no limit. [default: 100, none on loopback]",
        show_default=False,
    ),
]
LimitTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Tokens of one client per minute; 0: no limit. [default: no limit]",
        show_default=False,
    ),
]
LimitConcurrent = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Requests of one client at a time; 0: no limit. [default: 10, none on loopback]",
        show_default=False,
    ),
]
LimitStreams = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Streams of one client at a time; 0: no limit. [default: 5, none on loopback]",
        show_default=False,
    ),
]
LimitUpload = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Largest request, such as 20MiB; 0: no limit. [default: 100MiB, none on loopback]",
        show_default=False,
    ),
]
TrustedProxies = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="A proxy or façade that may say who its clients are; may be repeated.",
        show_default=False,
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Speak TLS with this certificate (PEM), on both ports.",
        show_default=False,
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The certificate's private key (PEM).", show_default=False),
]
TlsClientCa = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Let in only clients with a certificate of this authority (PEM).",
        show_default=False,
    ),
]
CorsOrigins = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ORIGIN",
        help="Web pages of this origin may call from a browser; may be repeated; * is all.",
        show_default=False,
    ),
]
CoreTls = Annotated[
    bool | None,
    typer.Option(
        "--core-tls",
        help="The core speaks TLS, with a certificate that the system trusts.",
        show_default=False,
    ),
]
CoreCa = Annotated[
    Path | None,
    typer.Option(
        "--core-ca",
        "--ca",
        metavar="FILE",
        help="The core speaks TLS, with a certificate of this authority (PEM).",
        show_default=False,
    ),
]
CoreCert = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The certificate (PEM) to show to a core that asks for one.",
        show_default=False,
    ),
]
CoreKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="That certificate's private key.", show_default=False),
]
CoreName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The name in the core's certificate. [default: the host of --core]",
        show_default=False,
    ),
]
CoreAddress = Annotated[
    str | None,
    typer.Option(
        "--core",
        metavar="ADDRESS",
        help="The gRPC core to use: HOST:PORT or unix:/PATH.",
        show_default=False,
    ),
]
Harness = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What chats go through: default, or search. [default: default]",
        show_default=False,
    ),
]
SearchProvider = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where the search harness searches: ddgs or brave. [default: ddgs]",
        show_default=False,
    ),
]
HubEndpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where models are pulled from. [default: HF_ENDPOINT, or the public hub]",
        show_default=False,
    ),
]
EmbeddingModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The model of embeddings: an id, or a directory. [default: the served model]",
        show_default=False,
    ),
]
EmbeddingPooling = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="How language models make vectors: mean or last. [default: mean]",
        show_default=False,
    ),
]
EmbeddingThreads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Threads of a sentence encoder. [default: half of the engine's]",
        show_default=False,
    ),
]
Autoload = Annotated[
    bool | None,
    typer.Option(
        "--autoload/--no-autoload",
        help="Load a model of the store when a request names it. [default: on]",
        show_default=False,
    ),
]
KeepAlive = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="How long a model stays loaded without a request; -1: for good. [default: -1]",
        show_default=False,
    ),
]
ModelMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What the loaded models may take together, for example 16GiB. "
        "[default: four fifths of the memory]",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Engine threads; 0 takes what the process may use. [default: 0]",
        show_default=False,
    ),
]
MaxBatch = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Sequences that run at the same time. [default: 16]",
        show_default=False,
    ),
]
MaxQueue = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Requests that may wait; one more is refused. [default: 64]",
        show_default=False,
    ),
]
MaxBatchTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Prompt tokens computed in one step. [default: 256]",
        show_default=False,
    ),
]
KvCacheTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Capacity of the KV cache in tokens; 0 lets the engine choose. [default: 0]",
        show_default=False,
    ),
]
KvCacheDtype = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        help="How the KV cache holds its numbers: f32, bf16 or int8. [default: bf16]",
        show_default=False,
    ),
]
AttentionTiles = Annotated[
    bool | None,
    typer.Option(
        "--attention-tiles/--no-attention-tiles",
        help="Share passes over the KV cache; off for measurements. [default: on]",
        show_default=False,
    ),
]
PrefixCache = Annotated[
    bool | None,
    typer.Option(
        "--prefix-cache/--no-prefix-cache",
        help="Reuse what prompts that begin alike have in common. [default: on]",
        show_default=False,
    ),
]
Speculation = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help="Guess tokens ahead and verify them together: auto (where it pays) or off. "
        "[default: auto]",
        show_default=False,
    ),
]
MaxDraftTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Tokens guessed ahead of one answer. [default: 8]",
        show_default=False,
    ),
]
ExactHeadScreening = Annotated[
    bool | None,
    typer.Option(
        "--exact-head-screening/--no-exact-head-screening",
        help="Choose tokens from half of the bytes of a large output head. [default: on]",
        show_default=False,
    ),
]
UnembedQuant = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How output heads are held: bf16, int8, q8_0, q6_k, q5_0 or q4_0. "
        "[default: as the checkpoint has it]",
        show_default=False,
    ),
]
Sparsity = Annotated[
    bool | None,
    typer.Option(
        "--sparsity/--no-sparsity",
        help="Skip weights that the zeros of a ReLU² model make superfluous. [default: on]",
        show_default=False,
    ),
]
Voice = Annotated[
    bool | None,
    typer.Option(
        "--voice/--no-voice",
        help="Recognise and make speech. [default: off]",
        show_default=False,
    ),
]
VoicePreload = Annotated[
    bool | None,
    typer.Option(
        "--voice-preload/--no-voice-preload",
        help="Start the speech workers with the server. [default: off]",
        show_default=False,
    ),
]
WhisperModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The recognition model: a Whisper size, or a directory. [default: base.en]",
        show_default=False,
    ),
]
TtsModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The synthesis model: a name, or a directory with a bundle. [default: english]",
        show_default=False,
    ),
]
RequestTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="The longest one generation may take, in seconds. [default: 600]",
        show_default=False,
    ),
]
Grace = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Seconds that running requests get when the server stops. [default: 30]",
        show_default=False,
    ),
]
LogLevel = Annotated[
    str | None,
    typer.Option(
        metavar="LEVEL",
        help="debug, info, warning or error. [default: info]",
        show_default=False,
    ),
]
LogFormat = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="text for people, json for log collectors. [default: text]",
        show_default=False,
    ),
]
Metrics = Annotated[
    bool | None,
    typer.Option(
        "--metrics/--no-metrics",
        help="Show /metrics, for Prometheus, on the REST listeners. [default: on]",
        show_default=False,
    ),
]
MetricsListen = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Show /metrics there, and not on the REST listeners.",
        show_default=False,
    ),
]
OtlpEndpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Send traces to the OTLP collector there, over gRPC. [default: no traces]",
        show_default=False,
    ),
]
