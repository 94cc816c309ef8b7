"""Runs requests on an engine and times them."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sterna_service.engine import _native


@dataclass(frozen=True)
class Work:
    """What one token costs at least, whatever the engine does."""

    read_bytes: float  # decoding: each ternary weight and the output head, once
    multiplications: float  # prefill: each ternary weight, once

    @staticmethod
    def of(model: _native.Model) -> Work:
        config = model.config
        tables = 1 if config.tied_embeddings else 2
        ternary = model.parameter_count - tables * config.vocab_size * config.hidden_size
        # A tied table is the head; an untied embedding table is only looked up.
        table_bytes = (model.weight_bytes - ternary / 4) / tables
        return Work(model.weight_bytes - (tables - 1) * table_bytes, float(ternary))


class Runner:
    """One engine, the prompts to feed it, and the clock to time it by.

    The processor clock is the time that all threads spent computing, divided by their number. On a
    quiet machine it agrees with the wall; on a shared one it leaves out what others took.
    """

    def __init__(self, engine: _native.Engine, vocab_size: int, threads: int, clock: str) -> None:
        self._engine = engine
        self._vocab_size = vocab_size
        self._threads = threads
        self._clock = clock
        self._prompts = 0

    def _prompt(self, length: int) -> list[int]:
        """Different each time, so that nothing is found in a cache."""
        self._prompts += 1
        begin = 7919 * self._prompts
        return [(begin + 31 * place) % self._vocab_size for place in range(length)]

    def _now(self) -> float:
        if self._clock == "processor":
            return time.process_time() / self._threads
        return time.perf_counter()

    def run(self, streams: int, prompt_tokens: int, new_tokens: int) -> tuple[float, float]:
        """Runs equal greedy requests: (seconds to the first token, decoded tokens per second).

        Decoding is timed from the moment when every stream has a token, so that it holds no prompt.
        """
        submitted = self._now()
        for stream in range(streams):
            request = _native.Request()
            request.id = stream
            request.prompt = self._prompt(prompt_tokens)
            request.max_tokens = new_tokens
            request.temperature = 0.0
            self._engine.submit(request)
        tokens, open_streams = 0, streams
        waiting = set(range(streams))
        first = begin = end = 0.0
        while open_streams:
            if not select.select([self._engine.outbox_fd()], [], [], 600.0)[0]:
                raise SystemExit("error: the engine has been silent for ten minutes")
            now = self._now()
            for event in self._engine.drain_outbox():
                if event.kind == _native.EventKind.TOKEN:
                    first = first or now
                    if waiting:
                        waiting.discard(event.request_id)
                        begin = now
                    else:
                        tokens += 1
                        end = now
                elif event.kind == _native.EventKind.FINISHED:
                    open_streams -= 1
                elif event.kind == _native.EventKind.FAILED:
                    raise SystemExit(f"error: {event.error_message}")
        return first - submitted, tokens / (end - begin) if tokens else 0.0


@contextmanager
def open_runner(
    model: _native.Model,
    threads: int,
    batch_tokens: int,
    clock: str,
    streams: int,
    tokens_per_stream: int,
) -> Iterator[Runner]:
    """An engine with room for `streams` sequences and no prefix cache."""
    options = _native.EngineOptions()
    options.threads = threads
    options.max_batch = streams
    options.max_batch_tokens = batch_tokens
    options.prefix_cache = False
    options.kv_cache_tokens = max(streams * (tokens_per_stream + 16), model.config.context_length)
    engine = _native.Engine(model, options)
    try:
        yield Runner(engine, model.config.vocab_size, threads, clock)
    finally:
        engine.close()
