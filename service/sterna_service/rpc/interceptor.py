"""Stands around every call: request id, credentials, errors, deadline, log.

Whatever a handler raises leaves here as a status with an `ErrorInfo`, and nothing of an unexpected
exception's text reaches the client. Handlers that stream are async generators; they are driven
from here, so that a cancelled call unwinds them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import AbortError, ServicerContext

from sterna_service.access.limiter import OverLimitError
from sterna_service.errors import Reason, ServiceError, is_disk_full, not_implemented
from sterna_service.rpc.calls import (
    REQUEST_ID_KEY,
    Call,
    CallBook,
    enter_call,
    request_id_of,
)
from sterna_service.rpc.gate import ADMIT, Gate, allowance_headers
from sterna_service.rpc.status import DETAILS_KEY, STATUS_OF, status_of
from sterna_service.telemetry.metrics import CoreMetrics
from sterna_service.telemetry.record import CallRecord
from sterna_service.telemetry.spans import NO_SPAN, Span, Tracing, enter_span
from sterna_service.telemetry.usage import UsageBook

_access = logging.getLogger("sterna_service.access")
_log = logging.getLogger(__name__)

_OURS = "/sterna.v1."
_ADMIN = "/sterna.v1.ModelAdminService/"
# What an operator asks of a server that is stopping.
_QUESTIONS = ("Get", "List")

Context = ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class _Malformed:
    """Stands for a request that could not be parsed."""

    problem: str

    def refusal(self) -> ServiceError:
        """What its sender is told."""
        return ServiceError(
            Reason.INVALID_FIELD,
            f"the request is no valid message of its type ({self.problem}); text must be UTF-8",
            metadata={"field": ""},
        )


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of this project's services; health and reflection pass as they are."""

    def __init__(
        self,
        book: CallBook,
        gate: Gate,
        usage: UsageBook,
        metrics: CoreMetrics,
        tracing: Tracing | None,
        max_call_seconds: float,
    ) -> None:
        self._book = book
        self._gate = gate
        self._usage = usage
        self._metrics = metrics
        self._tracing = tracing
        self._cap = max_call_seconds

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        make, behavior = _parts(handler)
        streams = bool(handler.response_streaming)

        async def serve(request: Any, context: Context) -> Any:
            return await self._serve(method, behavior, streams, request, context)

        return make(
            serve,
            request_deserializer=_tolerant(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    async def _serve(
        self,
        method: str,
        behavior: Callable[..., Any],
        streams: bool,
        request: Any,
        context: Context,
    ) -> Any:
        call = Call(method, request_id_of(context), CallRecord(self._metrics, method))
        enter_call(call)
        span = self._begin_span(call, context)
        entered = False
        outcome = status = "OK"
        try:
            call.caller = await self._gate.admit(method, context)
            if call.caller.key is not None:
                call.notes["key"] = call.caller.key.key_id
            entered = self._book.enter(is_work=_is_work(method), is_waited_for=method != ADMIT)
            async with self._counted(call, streams):
                return await self._run(call, behavior, request, context)
        except ServiceError as error:
            outcome, status = error.reason.value, STATUS_OF[error.reason].name
            if STATUS_OF[error.reason] is not grpc.StatusCode.CANCELLED:
                self._book.failed += 1
            await _abort(error, call, context)
        except asyncio.CancelledError:
            # An admission lasts until it is cancelled: that is how it ends well.
            if method != ADMIT:
                outcome = status = "CANCELLED"
            raise
        finally:
            call.caller.leave()
            if entered:
                self._book.leave()
            reason = "" if outcome == "OK" else outcome
            call.record.end(status, reason)
            self._usage.note(call.notes)
            span.set({"rpc.response.status_code": status})
            span.end(error=reason)
            _access.log(
                logging.DEBUG if method == ADMIT and not reason else logging.INFO,
                "call",
                extra={
                    "method": method,
                    "outcome": outcome,
                    "seconds": round(call.record.seconds, 6),
                    "request_id": call.request_id,
                    "peer": context.peer(),
                    **call.notes,
                },
            )

    @contextlib.asynccontextmanager
    async def _counted(self, call: Call, streams: bool) -> AsyncIterator[None]:
        """Counts a call's stream while it runs, and its tokens when it has ended."""
        visit = call.caller.visit
        if visit is None:
            yield
            return
        if streams:
            self._gate.open_stream(visit)
        try:
            yield
        finally:
            if streams:
                self._gate.close_stream(visit)
            await self._gate.charge(visit, call.spent)

    def _begin_span(self, call: Call, context: Context) -> Span:
        if self._tracing is None:
            return NO_SPAN
        method = call.method.removeprefix("/")
        span = self._tracing.begin(method, context.invocation_metadata() or ())
        span.set({"sterna.request_id": call.request_id})
        enter_span(span)
        if span.trace_id:
            call.notes["trace_id"] = span.trace_id
        return span

    async def _run(
        self, call: Call, behavior: Callable[..., Any], request: Any, context: Context
    ) -> Any:
        """Runs a handler; every way that it can fail becomes a `ServiceError`."""
        try:
            if isinstance(request, _Malformed):
                raise request.refusal()
            if hasattr(request, "__aiter__"):
                request = _checked(request, call.caller.upload_limit)
            async with asyncio.timeout(self._cap) as limit:
                return await _drive(call, behavior, request, context)
        except (ServiceError, AbortError):
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not the call was cancelled but something inside: grpc would leave the client waiting.
            _log.exception("a handler was cancelled from inside", extra=_where(call))
            raise _internal() from None
        except TimeoutError:
            if not limit.expired():
                _log.exception("an unexpected timeout", extra=_where(call))
                raise _internal() from None
            raise ServiceError(
                Reason.DEADLINE_EXCEEDED,
                f"the call took longer than the server allows, {self._cap:g} s",
                metadata={"limit": f"{self._cap:g}"},
            ) from None
        except NotImplementedError:
            # The generated base class answers so for what no servicer has overridden.
            service, _, name = call.method.removeprefix(_OURS).partition("/")
            raise not_implemented(f"{service}.{name}", f"{service}.{name} is") from None
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            # Panics of native libraries are no Exception.
            _log.exception("an unexpected error", extra=_where(call))
            raise (_full() if is_disk_full(error) else _internal()) from None


async def _checked(messages: AsyncIterable[Any], limit: int) -> AsyncGenerator[Any]:
    """The messages of an upload, as long as they can be parsed and do not exceed the client's limit
    in bytes; 0: it has none."""
    seen = 0
    async for message in messages:
        if isinstance(message, _Malformed):
            raise message.refusal()
        seen += message.ByteSize()
        if limit and seen > limit:
            raise ServiceError(
                Reason.AUDIO_TOO_LARGE,
                f"the upload is larger than the limit of {limit} bytes; send less",
                metadata={"limit_bytes": str(limit)},
            )
        yield message


async def _drive(call: Call, behavior: Callable[..., Any], request: Any, context: Context) -> Any:
    result = behavior(request, context)
    if inspect.isasyncgen(result):
        # Writing here, instead of handing the generator to grpc, is what makes a cancelled call
        # unwind it: grpc would drop the generator and leave the rest to the garbage collector.
        async with contextlib.aclosing(result) as responses:
            async for response in responses:
                await call.greet(context)
                await context.write(response)
        return None
    response = await result
    await call.greet(context)
    return response


async def _abort(error: ServiceError, call: Call, context: Context) -> NoReturn:
    status = status_of(error, call.request_id)
    state: tuple[tuple[str, str], ...] = ()
    if isinstance(error, OverLimitError):
        state = allowance_headers(error.requests, error.tokens)
    await context.abort(
        STATUS_OF[error.reason],
        status.message,
        (
            (DETAILS_KEY, status.SerializeToString()),
            (REQUEST_ID_KEY, call.request_id),
            *state,
        ),
    )


def _parts(
    handler: grpc.RpcMethodHandler[Any, Any],
) -> tuple[Callable[..., grpc.RpcMethodHandler[Any, Any]], Callable[..., Any]]:
    """How to make a handler of the same kind, and the method behind it."""
    kind = ("stream" if handler.request_streaming else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    return getattr(grpc, f"{kind}_rpc_method_handler"), getattr(handler, kind)


def _tolerant(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """A parser that reports a bad message instead of failing where nothing can answer for it."""

    def parse_or_report(data: bytes) -> Any:
        try:
            return parse(data) if parse is not None else data
        except (DecodeError, ValueError) as error:
            return _Malformed(str(error).partition("\n")[0][:200])

    return parse_or_report


def _is_work(method: str) -> bool:
    return not (method.startswith(_ADMIN) and method.removeprefix(_ADMIN).startswith(_QUESTIONS))


def _internal() -> ServiceError:
    return ServiceError(
        Reason.INTERNAL, "the server failed; its log has the details under this request id"
    )


def _full() -> ServiceError:
    return ServiceError(Reason.DISK_FULL, "the disk of the server is full; make room on it")


def _where(call: Call) -> dict[str, str]:
    return {"method": call.method, "request_id": call.request_id}
