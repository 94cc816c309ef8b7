"""What is measured of one call, and of the generations in it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sterna_service.inference.events import Usage
from sterna_service.telemetry.metrics import CoreMetrics


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a request that succeeded, and how long it took to make them."""

    prompt: int
    cached: int
    completion: int
    choices: int
    decode_seconds: float


def tokens_of(usage: Usage, choices: int) -> Tokens:
    """The tokens that a generation tells of at its end."""
    return Tokens(
        usage.prompt_tokens,
        usage.cached_tokens,
        usage.completion_tokens,
        choices,
        usage.decode_seconds,
    )


class GenerationRecord:
    """Follows one generation or embedding. Each method is called as the thing happens."""

    __slots__ = ("_begin", "_labels", "_metrics", "_model")

    def __init__(
        self, metrics: CoreMetrics, operation: str, model_id: str, begin: float | None = None
    ) -> None:
        """`operation` is `chat`, `text_completion` or `embeddings`; `begin` is a moment of
        `time.perf_counter`, now by default."""
        self._metrics = metrics
        self._model = model_id
        self._labels = (operation, model_id)
        self._begin = time.perf_counter() if begin is None else begin

    def started(self, queue_seconds: float, prefill_seconds: float) -> None:
        """The prompt is computed and the first token is there."""
        seconds = time.perf_counter() - self._begin
        self._metrics.first_token.labels(*self._labels).observe(seconds)
        self.computed(queue_seconds, prefill_seconds)

    def computed(self, queue_seconds: float, prefill_seconds: float) -> None:
        """A prompt is computed, after it waited."""
        self._metrics.queue.labels(self._model).observe(queue_seconds)
        self._metrics.prefill.labels(self._model).observe(prefill_seconds)

    def used(self, tokens: Tokens) -> None:
        """All tokens are there."""
        metrics = self._metrics
        metrics.tokens.labels(*self._labels, "input").inc(tokens.prompt)
        if tokens.cached:
            metrics.tokens.labels(*self._labels, "cached").inc(tokens.cached)
        if tokens.completion:
            metrics.tokens.labels(*self._labels, "output").inc(tokens.completion)
        further = tokens.completion / max(1, tokens.choices) - 1
        if further > 0:
            metrics.output_token.labels(*self._labels).observe(tokens.decode_seconds / further)

    def end(self, reason: str) -> None:
        """It ended; `reason` is the protocol's, empty for success."""
        seconds = time.perf_counter() - self._begin
        self._metrics.requests.labels(*self._labels, reason).observe(seconds)


class CallRecord:
    """Follows one call, and the generation that it is for."""

    __slots__ = ("_begin", "_method", "_metrics", "generation")

    def __init__(self, metrics: CoreMetrics, method: str) -> None:
        """`method` is `/package.Service/Method`, of the protocol and nothing that a client made."""
        self._metrics = metrics
        self._method = method.removeprefix("/")
        self._begin = time.perf_counter()
        self.generation: GenerationRecord | None = None
        """What the whole call is for, if it is one."""

    @property
    def seconds(self) -> float:
        """Since the call arrived."""
        return time.perf_counter() - self._begin

    def generates(self, operation: str, model_id: str) -> GenerationRecord:
        """The whole call is for one generation or embedding, which began with it."""
        self.generation = GenerationRecord(self._metrics, operation, model_id, self._begin)
        return self.generation

    def turn(self, operation: str, model_id: str) -> GenerationRecord:
        """One of several generations of the call, which begins now; who asks for it ends it."""
        return GenerationRecord(self._metrics, operation, model_id)

    def end(self, status: str, reason: str) -> None:
        """The call ended. `status` is gRPC's; `reason` is the protocol's, empty for success."""
        self._metrics.calls.labels(self._method, status).observe(self.seconds)
        if reason:
            self._metrics.refusals.labels(self._method, reason).inc()
        if self.generation is not None:
            self.generation.end(reason)
