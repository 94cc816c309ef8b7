"""Runs requests on the engine and collects what comes back."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sterna_service.engine import _native


@dataclass
class Generation:
    """Everything the engine reported about one request."""

    tokens: dict[int, list[int]] = field(default_factory=dict)  # by choice
    logprobs: dict[int, list[float]] = field(default_factory=dict)
    top_logprobs: dict[int, list[list[tuple[int, float]]]] = field(default_factory=dict)
    finish: dict[int, _native.FinishReason] = field(default_factory=dict)
    prompt_logprobs: list[tuple[int, float]] = field(default_factory=list)
    cached_tokens: int = -1
    started_at: float = 0.0
    token_times: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def answer(self) -> tuple[Any, ...]:
        """What must not depend on anything but the request."""
        return self.tokens, self.logprobs, self.finish, self.prompt_logprobs


def make_request(request_id: int, prompt: Iterable[int], **settings: Any) -> _native.Request:
    """A greedy request, unless `settings` says otherwise."""
    request = _native.Request()
    request.id = request_id
    request.prompt = list(prompt)
    for name, value in ({"temperature": 0.0} | settings).items():
        setattr(request, name, value)
    return request


@contextmanager
def open_engine(model: _native.Model, **settings: Any) -> Iterator[_native.Engine]:
    options = _native.EngineOptions()
    for name, value in settings.items():
        setattr(options, name, value)
    engine = _native.Engine(model, options)
    try:
        yield engine
    finally:
        engine.close()


def collect(
    engine: _native.Engine,
    requests: list[_native.Request],
    cancel_after: Mapping[int, int] | None = None,
    timeout_seconds: float = 120.0,
) -> dict[int, Generation]:
    """Submits all requests at once and waits until each has finished or failed.

    `cancel_after` says after how many tokens a request, by id, is cancelled; 0 means at once.
    """
    cancel_after = cancel_after or {}
    results = {request.id: Generation() for request in requests}
    open_choices = {request.id: request.choices for request in requests}
    for request in requests:
        engine.submit(request)
        if cancel_after.get(request.id) == 0:
            engine.cancel(request.id)
    deadline = time.monotonic() + timeout_seconds
    while open_choices:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([engine.outbox_fd()], [], [], left)[0]:
            raise TimeoutError(f"requests {sorted(open_choices)} did not finish")
        now = time.monotonic()
        for event in engine.drain_outbox():
            result = results[event.request_id]
            if event.kind == _native.EventKind.STARTED:
                result.started_at = now
                result.cached_tokens = event.cached_tokens
                result.prompt_logprobs = list(event.prompt_logprobs)
            elif event.kind == _native.EventKind.TOKEN:
                result.tokens.setdefault(event.choice, []).append(event.token)
                result.logprobs.setdefault(event.choice, []).append(event.logprob)
                result.top_logprobs.setdefault(event.choice, []).append(list(event.top_logprobs))
                result.token_times.append(now)
                if len(result.token_times) == cancel_after.get(event.request_id):
                    engine.cancel(event.request_id)
            elif event.kind == _native.EventKind.FINISHED:
                result.finish[event.choice] = event.finish_reason
                open_choices[event.request_id] -= 1
                if open_choices[event.request_id] == 0:
                    del open_choices[event.request_id]
            else:
                result.error = f"{event.error_code}: {event.error_message}"
                del open_choices[event.request_id]
    return results
