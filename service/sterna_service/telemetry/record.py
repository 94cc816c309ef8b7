"""What is measured of one call, from its arrival to its end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sterna_service.telemetry.metrics import CoreMetrics


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a request that succeeded, and how long it took to make them."""

    prompt: int
    cached: int
    completion: int
    choices: int
    decode_seconds: float


class CallRecord:
    """Follows one call. Each method is called as the thing happens, once at most."""

    __slots__ = ("_begin", "_method", "_metrics", "_model", "_operation")

    def __init__(self, metrics: CoreMetrics, method: str) -> None:
        """`method` is `/package.Service/Method`, of the protocol and nothing that a client made."""
        self._metrics = metrics
        self._method = method.removeprefix("/")
        self._operation = ""
        self._model = ""
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the call arrived."""
        return time.perf_counter() - self._begin

    def generates(self, operation: str, model_id: str) -> None:
        """It is a generation or an embedding: `chat`, `text_completion` or `embeddings`."""
        self._operation, self._model = operation, model_id

    def started(self, queue_seconds: float, prefill_seconds: float) -> None:
        """The prompt is computed and the first token is there."""
        metrics = self._metrics
        metrics.first_token.labels(self._operation, self._model).observe(self.seconds)
        self.computed(queue_seconds, prefill_seconds)

    def computed(self, queue_seconds: float, prefill_seconds: float) -> None:
        """A prompt is computed, after it waited."""
        self._metrics.queue.labels(self._model).observe(queue_seconds)
        self._metrics.prefill.labels(self._model).observe(prefill_seconds)

    def used(self, tokens: Tokens) -> None:
        """All tokens are there."""
        metrics, labels = self._metrics, (self._operation, self._model)
        metrics.tokens.labels(*labels, "input").inc(tokens.prompt)
        if tokens.cached:
            metrics.tokens.labels(*labels, "cached").inc(tokens.cached)
        if tokens.completion:
            metrics.tokens.labels(*labels, "output").inc(tokens.completion)
        further = tokens.completion / max(1, tokens.choices) - 1
        if further > 0:
            metrics.output_token.labels(*labels).observe(tokens.decode_seconds / further)

    def heard(self, operation: str, audio_seconds: float, compute_seconds: float) -> None:
        """Audio was recognised (`recognition`) or made (`synthesis`)."""
        self._metrics.audio.labels(operation).inc(audio_seconds)
        if audio_seconds > 0:
            factor = compute_seconds / audio_seconds
            self._metrics.real_time_factor.labels(operation).observe(factor)

    def end(self, status: str, reason: str) -> None:
        """The call ended. `status` is gRPC's; `reason` is the protocol's, empty for success."""
        seconds = self.seconds
        self._metrics.calls.labels(self._method, status).observe(seconds)
        if reason:
            self._metrics.refusals.labels(self._method, reason).inc()
        if self._model:
            labels = (self._operation, self._model, reason)
            self._metrics.requests.labels(*labels).observe(seconds)
