"""The native engine driven directly, so that nothing but the engine is timed.

An `EnginePort` serves requests on an event loop; a `Trial` runs equal requests, waits for them and
says when each token came.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path

from sterna_service.engine import _native
from sterna_service.engine.packing import Packing, pack
from sterna_service.engine.types import EngineOptions, HeadPrecision
from sterna_service.errors import ModelLoadError

# An engine that says nothing for so long has failed, whatever the model.
_SILENCE_SECONDS = 600.0


class TrialError(Exception):
    """The engine refused or failed what it was asked."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one token costs at least when every weight is used, whatever the engine does."""

    ternary_bytes: float
    """Of the ternary matrices as they are mapped."""
    head_bytes: float
    """Of the output head as it is mapped."""
    ternary_macs: float
    """Multiply-accumulates of the ternary matrices; the head's are left out, as in a prompt."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When the tokens of each stream came, in seconds after the requests were given."""

    streams: list[list[float]]
    cached_tokens: int
    """Tokens of all prompts that were found in the prefix cache."""

    @property
    def first_token(self) -> float:
        """Seconds to the first token of any stream."""
        return min(times[0] for times in self.streams)

    @property
    def decoded_per_second(self) -> float:
        """Tokens per second while every stream was decoding; no prompt is part of it."""
        begin = max(times[0] for times in self.streams)
        end = min(times[-1] for times in self.streams)
        count = sum(begin < at <= end for times in self.streams for at in times)
        return count / (end - begin) if end > begin else 0.0


@dataclass(frozen=True, slots=True)
class Gaps:
    """Seconds between two tokens of a stream, on average, alone and while a prompt is computed."""

    alone: float
    during: float


@dataclass(frozen=True, slots=True)
class Scored:
    """One token of a prompt: its log-probability in nats, and the token most likely there."""

    logprob: float
    best: int


class Trial:
    """One engine and its model. Close it, or use it as a context manager."""

    def __init__(self, engine: _native.Engine, model: _native.Model) -> None:
        self._engine = engine
        self._heard = 0.0
        config = model.config
        self.vocab_size = config.vocab_size
        self.context_length = config.context_length
        self.weight_bytes = model.weight_bytes
        self.parameter_count = model.parameter_count
        self.work = _work(model)

    @classmethod
    def open(cls, bundle: Path, options: EngineOptions) -> Trial:
        """Maps a bundle and starts the threads.

        Raises:
            ModelLoadError: The bundle or an option cannot be used.
        """
        try:
            model = _native.Model.open(str(bundle))
            return cls(_native.Engine(model, _native_options(options)), model)
        except _native.NativeError as error:
            raise ModelLoadError(str(error)) from None

    def run(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Arrivals:
        """Continues every prompt greedily by `new_tokens` tokens, all at the same time.

        Raises:
            TrialError: The engine refused a request or failed.
        """
        arrivals: list[list[float]] = [[] for _ in prompts]
        cached = 0
        begin = time.perf_counter()
        for number, prompt in enumerate(prompts):
            self._submit(_request(number, prompt, new_tokens))
        for event in self._events(len(prompts)):
            if event.kind == _native.EventKind.TOKEN:
                arrivals[event.request_id].append(self._heard - begin)
            elif event.kind == _native.EventKind.STARTED:
                cached += event.cached_tokens
        return Arrivals(arrivals, cached)

    def interrupt(
        self, prompts: Sequence[Sequence[int]], late: Sequence[int], tokens_before: int
    ) -> Gaps:
        """Decodes every prompt; when each has `tokens_before` tokens, a further prompt arrives.

        Ends when that one has its first token.

        Raises:
            TrialError: The engine refused a request or failed.
        """
        number = len(prompts)
        for stream, prompt in enumerate(prompts):
            self._submit(_request(stream, prompt, self.context_length - len(prompt)))
        counts = [0] * number
        started = arrived = ended = 0.0
        before = during = 0
        for event in self._events(number + 1):
            if event.kind != _native.EventKind.TOKEN or ended:
                continue
            if event.request_id == number:
                ended = self._heard
                for stream in range(number):
                    self._engine.cancel(stream)
                continue
            counts[event.request_id] += 1
            if arrived:
                during += 1
            elif started:
                before += 1
            if not started and all(counts):
                started = self._heard
            if not arrived and min(counts) >= tokens_before:
                arrived = time.perf_counter()
                self._submit(_request(number, late, 1))
        return Gaps(
            alone=number * (arrived - started) / max(before, 1),
            during=number * (ended - arrived) / max(during, 1),
        )

    def score(self, prompt: Sequence[int]) -> list[Scored]:
        """How likely each token of a prompt is after those before it, from the second one on.

        Raises:
            TrialError: The engine refused the request or failed.
        """
        request = _request(0, prompt, 1)
        request.prompt_logprobs = True
        request.top_logprobs = 1
        self._submit(request)
        scored: list[Scored] = []
        for event in self._events(1):
            if event.kind == _native.EventKind.STARTED:
                tops = event.prompt_top_logprobs
                scored = [
                    Scored(logprob, best=top[0][0])
                    for (_, logprob), top in zip(event.prompt_logprobs[1:], tops[1:], strict=True)
                ]
        return scored

    def _submit(self, request: _native.Request) -> None:
        try:
            self._engine.submit(request)
        except _native.NativeError as error:
            raise TrialError(str(error)) from None

    def _events(self, running: int) -> Iterator[_native.Event]:
        """The events of `running` requests until all have finished."""
        while running:
            if not select.select([self._engine.outbox_fd()], [], [], _SILENCE_SECONDS)[0]:
                raise TrialError(f"the engine has said nothing for {_SILENCE_SECONDS:.0f} seconds")
            self._heard = time.perf_counter()
            for event in self._engine.drain_outbox():
                if event.kind == _native.EventKind.FAILED:
                    raise TrialError(event.error_message)
                if event.kind == _native.EventKind.FINISHED:
                    running -= 1
                yield event

    def close(self) -> None:
        """Stops the threads. May be called twice."""
        self._engine.close()

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def find_bundle(
    checkpoint: Path, name: str, home: Path, head_precision: HeadPrecision = ""
) -> Path:
    """The packed form of a checkpoint in `home`; packs it first if there is none.

    Raises:
        ModelLoadError: The checkpoint cannot be used, or `home` cannot be written to.
    """
    bundle = pack(checkpoint, name, home, Packing(head_precision=head_precision))
    if bundle.temporary:
        bundle.release()
        raise ModelLoadError(f"{home}: cannot be written to; the packed model is kept there")
    return bundle.path


def _request(number: int, prompt: Sequence[int], new_tokens: int) -> _native.Request:
    request = _native.Request()
    request.id = number
    request.prompt = list(prompt)
    request.max_tokens = new_tokens
    request.temperature = 0.0
    return request


def _work(model: _native.Model) -> Work:
    config = model.config
    tables = 1 if config.tied_embeddings else 2
    table = config.vocab_size * config.hidden_size
    ternary = model.parameter_count - tables * table
    # Two bits each and, with groups, a half for each of them.
    size = 1 / 4 + (2 / config.weight_group if config.weight_group else 0)
    if config.ternary_embedding if config.tied_embeddings else config.ternary_head:
        head = table * size
    else:
        # A tied table is the head; an untied embedding table is only looked up.
        head = (model.weight_bytes - ternary * size) / tables
    return Work(ternary_bytes=ternary * size, head_bytes=head, ternary_macs=float(ternary))


def _native_options(options: EngineOptions) -> _native.EngineOptions:
    native = _native.EngineOptions()
    for field in fields(options):
        if field.name == "head_precision":
            # A matter of what was packed.
            continue
        value = getattr(options, field.name)
        setattr(native, field.name, value.value if isinstance(value, Enum) else value)
    return native
