"""The native engine as an asynchronous object.

One `EnginePort` is one loaded model with its threads. It belongs to the event loop that opened it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from sterna_service.engine import _native
from sterna_service.engine.adapter import AdapterSpec, EngineAdapter, read_adapter
from sterna_service.engine.bundle import Bundle, discard_bundle
from sterna_service.engine.mailbox import Inbox, Mailbox, MailboxClosedError
from sterna_service.engine.packing import Packing
from sterna_service.engine.types import (
    Embedded,
    EngineEvent,
    EngineOptions,
    EngineRequest,
    EngineStats,
    Finished,
    FinishReason,
    LoadedConfig,
    Started,
    Token,
)
from sterna_service.errors import ModelLoadError, Reason, ServiceError, is_disk_full

_log = logging.getLogger(__name__)

# What a full queue suggests to its clients, in seconds. A slot frees up when any stream ends.
QUEUE_RETRY_SECONDS = 1.0

_FINISH_REASONS = {
    _native.FinishReason.STOP: FinishReason.STOP,
    _native.FinishReason.LENGTH: FinishReason.LENGTH,
    _native.FinishReason.CANCELLED: FinishReason.CANCELLED,
}


class EngineRun:
    """One queued request: its events, as many at a time as are ready."""

    def __init__(
        self,
        inbox: Inbox[_native.Event],
        choices: int,
        engine: _native.Engine,
        request_id: int,
        closing: Callable[[], ServiceError],
    ) -> None:
        self._inbox = inbox
        self._closing = closing
        self._engine = engine
        self._request_id = request_id
        self._ended: set[int] = set()
        self.unfinished = choices
        """Choices whose `Finished` was not read yet."""

    def guide(self, choice: int, index: int, mask: bytes, forced: Sequence[int] = ()) -> None:
        """Says which tokens a choice of a guided request may take at output position `index`.

        Bit t % 8 of byte t // 8 stands for token t; the mask has whole 32-bit words. Each position
        needs one, the first as soon as the request is queued. `forced` are the tokens from `index`
        on that have no alternative; the mask is then for the position behind them.
        """
        self._engine.guide(self._request_id, choice, index, mask, forced)

    def end(self, choice: int) -> None:
        """Frees the slot of a choice that has begun and of which nothing more is wanted."""
        self._ended.add(choice)
        self._engine.cancel(self._request_id, choice)

    def __aiter__(self) -> EngineRun:
        return self

    async def __anext__(self) -> list[EngineEvent]:
        """The next events, in order; the last one of all is a `Finished`.

        Raises:
            ServiceError: The engine failed, or the server stops.
        """
        if not self.unfinished:
            raise StopAsyncIteration
        try:
            batch = await self._inbox.take()
        except MailboxClosedError:
            raise self._closing() from None
        events: list[EngineEvent] = []
        for native in batch:
            if native.kind == _native.EventKind.FAILED:
                self.unfinished = 0
                raise _service_error(native.error_code, native.error_message, "")
            event = _from_native(native)
            if isinstance(event, Finished):
                if event.reason is FinishReason.CANCELLED and event.choice not in self._ended:
                    # Nobody else cancels and goes on reading: the engine is stopping.
                    raise self._closing()
                self.unfinished -= 1
            events.append(event)
        return events


class EnginePort:
    """Runs requests on one model."""

    def __init__(
        self,
        engine: _native.Engine,
        model: _native.Model,
        options: EngineOptions,
        *,
        packed_now: bool = False,
    ) -> None:
        self._engine = engine
        self._model = model
        self.options = options
        self.packed_now = packed_now
        """The checkpoint had to be packed for this engine."""
        self._farewell = "the server is stopping; ask another one, or try again in a moment"
        self._mailbox: Mailbox[_native.Event] = Mailbox(engine)
        self._ids = itertools.count(1)
        self._closed = False
        config = model.config
        self.config = LoadedConfig(
            architecture=config.architecture,
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            # A sequence that runs alone has the whole cache, and no more.
            context_length=min(
                config.context_length, options.kv_cache_tokens or config.context_length
            ),
            parameter_count=model.parameter_count,
            weight_bytes=model.weight_bytes,
        )

    @classmethod
    async def open(
        cls, checkpoint: Path, name: str, home: Path, options: EngineOptions
    ) -> EnginePort:
        """Packs the checkpoint if that was not done before, maps it, and starts the threads.

        Raises:
            ModelLoadError: The checkpoint or an option cannot be used.
        """
        engine, model, packed_now = await asyncio.to_thread(
            _open_blocking, checkpoint, name, home, options
        )
        return cls(engine, model, options, packed_now=packed_now)

    @contextlib.asynccontextmanager
    async def run(self, request: EngineRequest) -> AsyncIterator[EngineRun]:
        """Queues a request; inside of the block its events can be read.

        Leaving the block early, by an exception or a cancelled task, frees the request's slot
        within one step of the engine.

        Raises:
            ServiceError: The request was refused: the queue is full, or it is too long.
        """
        request_id = next(self._ids)
        inbox = self._mailbox.open(request_id)
        run = EngineRun(inbox, request.choices, self._engine, request_id, self._closing)
        try:
            try:
                self._engine.submit(_to_native(request_id, request))
            except _native.NativeError as error:
                run.unfinished = 0
                if error.code == "shutting_down":
                    raise self._closing() from None
                raise _service_error(error.code, str(error), error.field) from None
            yield run
        finally:
            self._mailbox.discard(request_id)
            if run.unfinished and not self._closed:
                self._engine.cancel(request_id)

    async def open_adapter(self, spec: AdapterSpec, model_id: str) -> EngineAdapter:
        """Reads an adapter for this model.

        Raises:
            ServiceError: Its files are missing or damaged, or it does not fit the model.
        """
        return await asyncio.to_thread(read_adapter, spec, self._model, model_id)

    def stats(self) -> EngineStats:
        """What the engine is doing now."""
        stats = self._engine.stats()
        return EngineStats(
            kernels=stats.kernels,
            threads=stats.threads,
            running=stats.running,
            waiting=stats.waiting,
            kv_cache_dtype=stats.kv_cache_dtype,
            kv_cache_bytes=stats.kv_cache_bytes,
            kv_blocks_total=stats.kv_blocks_total,
            kv_blocks_used=stats.kv_blocks_used,
            kv_blocks_cached=stats.kv_blocks_cached,
            prompt_tokens=stats.prompt_tokens,
            cached_tokens=stats.cached_tokens,
            generated_tokens=stats.generated_tokens,
            steps=stats.steps,
            sequence_steps=stats.sequence_steps,
            preemptions=stats.preemptions,
            drafted_tokens=stats.drafted_tokens,
            accepted_tokens=stats.accepted_tokens,
            screened_states=stats.screened_states,
            rescored_tokens=stats.rescored_tokens,
        )

    async def close(self, farewell: str = "") -> None:
        """Ends running requests with an error and stops the threads. May be called twice.

        `farewell` is what those requests are told; by default, that the server is stopping.
        """
        if self._closed:
            return
        self._closed = True
        self._farewell = farewell or self._farewell
        self._mailbox.close()
        # Joins threads that may be in the middle of a step.
        await asyncio.to_thread(self._engine.close)

    def _closing(self) -> ServiceError:
        return ServiceError(Reason.SERVER_DRAINING, self._farewell, retry_after=QUEUE_RETRY_SECONDS)


def _open_blocking(
    checkpoint: Path, name: str, home: Path, options: EngineOptions
) -> tuple[_native.Engine, _native.Model, bool]:
    """The engine, its model, and whether the checkpoint was packed for it."""
    packing = Packing(
        screened_head=options.exact_head_screening, head_precision=options.head_precision
    )
    try:
        bundle = packing.ensure(checkpoint, name, home)
        try:
            model = _map(bundle)
        except _native.NativeError as error:
            # Damaged after it was written, or left by a different version: make it once more.
            _log.warning("packing %s again: its bundle cannot be used (%s)", checkpoint, error)
            discard_bundle(bundle)
            bundle = packing.ensure(checkpoint, name, home)
            model = _map(bundle)
        return _native.Engine(model, _native_options(options)), model, bundle.packed_now
    except _native.NativeError as error:
        reason = Reason.CHECKPOINT_INVALID
        if error.code == "unsupported_model":
            reason = Reason.MODEL_UNSUPPORTED
        elif error.code == "io" and is_disk_full(error):
            reason = Reason.DISK_FULL
        raise ModelLoadError(str(error), reason) from None
    except OSError as error:
        reason = Reason.DISK_FULL if is_disk_full(error) else Reason.CHECKPOINT_INVALID
        raise ModelLoadError(f"{error.filename or checkpoint}: {error.strerror}", reason) from None


def _map(bundle: Bundle) -> _native.Model:
    try:
        return _native.Model.open(str(bundle.path))
    finally:
        bundle.release()


def _native_options(options: EngineOptions) -> _native.EngineOptions:
    native = _native.EngineOptions()
    native.threads = options.threads
    native.max_batch = options.max_batch
    native.max_queue = options.max_queue
    native.max_batch_tokens = options.max_batch_tokens
    native.kv_cache_tokens = options.kv_cache_tokens
    native.kv_cache_dtype = options.kv_cache_dtype
    native.prefix_cache = options.prefix_cache
    native.attention_tiles = options.attention_tiles
    native.speculation = options.speculation
    native.max_draft_tokens = options.max_draft_tokens
    native.exact_head_screening = options.exact_head_screening
    native.sparsity = options.sparsity
    return native


def _to_native(request_id: int, request: EngineRequest) -> _native.Request:
    native = _native.Request()
    native.id = request_id
    native.prompt = list(request.prompt)
    native.max_tokens = request.max_tokens
    native.min_tokens = request.min_tokens
    native.choices = request.choices
    native.stop_tokens = list(request.stop_tokens)
    native.top_logprobs = request.top_logprobs
    native.prompt_logprobs = request.prompt_logprobs
    native.embedding = None if request.embedding is None else request.embedding.value
    native.guided = request.guided
    native.adapter = None if request.adapter is None else request.adapter.native
    sampling = request.sampling
    native.temperature = sampling.temperature
    native.top_k = sampling.top_k
    native.top_p = sampling.top_p
    native.min_p = sampling.min_p
    native.repetition_penalty = sampling.repetition_penalty
    native.frequency_penalty = sampling.frequency_penalty
    native.presence_penalty = sampling.presence_penalty
    native.seed = sampling.seed
    native.logit_bias = list(sampling.logit_bias)
    return native


def _from_native(event: _native.Event) -> EngineEvent:
    match event.kind:
        case _native.EventKind.TOKEN:
            return Token(event.choice, event.token, event.logprob, event.top_logprobs)
        case _native.EventKind.STARTED:
            return Started(
                prompt_tokens=event.prompt_tokens,
                cached_tokens=event.cached_tokens,
                queue_seconds=event.queue_seconds,
                prefill_seconds=event.prefill_seconds,
                prompt_logprobs=event.prompt_logprobs,
                prompt_top_logprobs=event.prompt_top_logprobs,
            )
        case _native.EventKind.EMBEDDED:
            return Embedded(event.embedding)
        case _native.EventKind.FINISHED:
            reason = _FINISH_REASONS[event.finish_reason]
            stopped = reason is FinishReason.STOP
            return Finished(event.choice, reason, event.token if stopped else None)
        case _:
            raise AssertionError(f"unknown kind of event: {event.kind}")


def _service_error(code: str, message: str, field: str) -> ServiceError:
    match code:
        case "queue_full":
            return ServiceError(
                Reason.QUEUE_FULL,
                "too many requests are waiting already; try again in a moment",
                retry_after=QUEUE_RETRY_SECONDS,
            )
        case "context_length":
            return ServiceError(Reason.CONTEXT_LENGTH_EXCEEDED, message)
        case "invalid_argument":
            return ServiceError(
                Reason.INVALID_FIELD,
                message,
                field=field or None,
                metadata={"field": field} if field else {},
            )
        case _:
            # The text may name files or addresses: it is for the log, not for the caller.
            _log.error("the engine failed: %s: %s", code, message)
            return ServiceError(Reason.INTERNAL, "the engine failed; see the server's log")
