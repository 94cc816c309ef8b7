"""What the core measures as it works, for Prometheus.

Names and labels follow OpenTelemetry's semantic conventions where these have one, spelled as
Prometheus spells them. Every label has few values: methods of the protocol, statuses, and models
that are or were loaded. What can be read when somebody asks is read then: see `scrape`.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

# The conventions' boundaries; what takes longer there takes longer on a processor.
CALL_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
)  # fmt: skip
REQUEST_SECONDS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
)  # fmt: skip
FIRST_TOKEN_SECONDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60,
)  # fmt: skip
TOKEN_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1,
    2.5,
)  # fmt: skip
LOAD_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
REAL_TIME_FACTORS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5)

_GENERATION = ("gen_ai_operation_name", "gen_ai_response_model")


class CoreMetrics:
    """The instruments of one core, in `registry`. Belongs to the event loop."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.calls = Histogram(
            "rpc_server_call_duration_seconds",
            "Calls, from their arrival to their last message.",
            ("rpc_method", "rpc_response_status_code"),
            buckets=CALL_SECONDS,
            registry=self.registry,
        )
        self.refusals = Counter(
            "sterna_rpc_errors",
            "Calls that ended with an error, by the reason that the client was told.",
            ("rpc_method", "error_type"),
            registry=self.registry,
        )
        self.requests = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Generations and embeddings, from their arrival to their last token; error_type is "
            "empty for those that succeeded.",
            (*_GENERATION, "error_type"),
            buckets=REQUEST_SECONDS,
            registry=self.registry,
        )
        self.first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the arrival of a call to the first token of its answer.",
            _GENERATION,
            buckets=FIRST_TOKEN_SECONDS,
            registry=self.registry,
        )
        self.output_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Between the tokens of one answer after the first, in the mean.",
            _GENERATION,
            buckets=TOKEN_SECONDS,
            registry=self.registry,
        )
        self.queue = Histogram(
            "sterna_queue_duration_seconds",
            "How long requests waited for a place in the batch.",
            ("model",),
            buckets=FIRST_TOKEN_SECONDS,
            registry=self.registry,
        )
        self.prefill = Histogram(
            "sterna_prefill_duration_seconds",
            "How long prompts were computed.",
            ("model",),
            buckets=FIRST_TOKEN_SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter(
            "sterna_tokens",
            "Tokens of requests that succeeded: input (of which cached ones were not computed) "
            "and output.",
            (*_GENERATION, "gen_ai_token_type"),
            registry=self.registry,
        )
        self.audio = Counter(
            "sterna_speech_audio_seconds",
            "Seconds of audio that were recognised or made.",
            ("operation",),
            registry=self.registry,
        )
        self.real_time_factor = Histogram(
            "sterna_speech_real_time_factor",
            "Seconds of computing for one second of audio, by request; below 1 is faster than it "
            "is spoken.",
            ("operation",),
            buckets=REAL_TIME_FACTORS,
            registry=self.registry,
        )
        self.loads = Histogram(
            "sterna_model_load_duration_seconds",
            "Loads of models; outcome is loaded or failed.",
            ("model", "outcome"),
            buckets=LOAD_SECONDS,
            registry=self.registry,
        )

    def loaded(self, model_id: str, succeeded: bool, seconds: float) -> None:
        """Notes the load of a model, as a `LoadObserver`."""
        self.loads.labels(model_id, "loaded" if succeeded else "failed").observe(seconds)

    def heard(self, operation: str, audio_seconds: float, busy_seconds: float) -> None:
        """Notes audio that was recognised (`recognition`) or made (`synthesis`)."""
        self.audio.labels(operation).inc(audio_seconds)
        if audio_seconds > 0:
            self.real_time_factor.labels(operation).observe(busy_seconds / audio_seconds)
