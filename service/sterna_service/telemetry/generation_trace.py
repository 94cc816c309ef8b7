"""The spans of one generation: the time in the queue, the prompt, the tokens of the answer."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from sterna_service.engine.types import EngineRequest, Started
from sterna_service.telemetry.spans import NO_SPAN, Attributes, current_span, kind_of


class GenerationTrace:
    """A span `OPERATION MODEL` with `queue`, `prefill` and `decode` below it.

    Numbers of tokens are noted, and settings, but no token and no text.
    """

    def __init__(
        self, operation: str, model_id: str, response_id: str, request: EngineRequest
    ) -> None:
        parent = current_span()
        self._decode = self._span = NO_SPAN
        if parent.recording:
            attributes: Attributes = {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": "sterna",
                "gen_ai.response.model": model_id,
                "gen_ai.response.id": response_id,
                "gen_ai.request.max_tokens": request.max_tokens,
                "gen_ai.request.temperature": request.sampling.temperature,
                "gen_ai.request.choice.count": request.choices,
            }
            self._span = parent.child(f"{operation} {model_id}", attributes)

    # Asynchronous only to stand in one line with what it measures.
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._decode.end(error=kind_of(error))
        self._span.end(error=kind_of(error))

    def started(self, event: Started) -> None:
        """The engine has computed the prompt; the first token comes with it."""
        if not self._span.recording:
            return
        now = time.time()
        begin = now - event.prefill_seconds
        self._span.child("queue", begin=begin - event.queue_seconds).end(begin)
        tokens = {
            "gen_ai.usage.input_tokens": event.prompt_tokens,
            "gen_ai.usage.cache_read.input_tokens": event.cached_tokens,
        }
        self._span.child("prefill", tokens, begin).end(now)
        self._span.set(tokens)
        self._decode = self._span.child("decode", begin=now)

    def finished(self, completion_tokens: int) -> None:
        """All tokens are there."""
        if self._span.recording:
            tokens = {"gen_ai.usage.output_tokens": completion_tokens}
            self._decode.set(tokens)
            self._decode.end()
            self._span.set(tokens)
