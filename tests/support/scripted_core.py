"""A core that fails on demand, for what the real one cannot be made to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from sterna.v1.generation_event_pb2 import (
    Choice,
    ChoiceFinished,
    FinishReason,
    GenerationDelta,
    GenerationStarted,
    Usage,
)
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import (
    GenerateRequest,
    GenerateResponse,
    StreamGenerateRequest,
    StreamGenerateResponse,
)

Context = grpc.aio.ServicerContext[Any, Any]
Script = Callable[[GenerationSpec, Context], AsyncIterator[StreamGenerateResponse]]
Whole = Callable[[GenerationSpec, Context], Awaitable[GenerateResponse]]


@dataclass
class ScriptedCore:
    """Answers as `stream` and `whole` say, and remembers what it saw."""

    stream: Script | None = None
    whole: Whole | None = None
    address: str = ""
    specs: list[GenerationSpec] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    most_running: int = 0

    async def _stream_generate(
        self, request: StreamGenerateRequest, context: Context
    ) -> AsyncIterator[StreamGenerateResponse]:
        assert self.stream is not None
        self._enter(request.spec, context)
        try:
            async for event in self.stream(request.spec, context):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            # gRPC drops a generator that waits at a `yield`, and cancels one that waits elsewhere.
            self.cancelled.set()
            raise
        finally:
            self.running -= 1

    async def _generate(self, request: GenerateRequest, context: Context) -> GenerateResponse:
        assert self.whole is not None
        self._enter(request.spec, context)
        try:
            return await self.whole(request.spec, context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.running -= 1

    def handler(self) -> grpc.GenericRpcHandler:
        """What to add to a gRPC server."""
        return grpc.method_handlers_generic_handler(
            "sterna.v1.InferenceService",
            {
                "Generate": grpc.unary_unary_rpc_method_handler(
                    self._generate,
                    request_deserializer=GenerateRequest.FromString,
                    response_serializer=GenerateResponse.SerializeToString,
                ),
                "StreamGenerate": grpc.unary_stream_rpc_method_handler(
                    self._stream_generate,
                    request_deserializer=StreamGenerateRequest.FromString,
                    response_serializer=StreamGenerateResponse.SerializeToString,
                ),
            },
        )

    def _enter(self, spec: GenerationSpec, context: Context) -> None:
        self.specs.append(spec)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        self.running += 1
        self.most_running = max(self.most_running, self.running)


@asynccontextmanager
async def scripted_core(
    stream: Script | None = None, whole: Whole | None = None
) -> AsyncIterator[ScriptedCore]:
    """A running one; `address` says where."""
    server = grpc.aio.server()
    core = ScriptedCore(stream, whole)
    server.add_generic_rpc_handlers((core.handler(),))
    core.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield core
    finally:
        await server.stop(0)


def started(**values: Any) -> StreamGenerateResponse:
    """The first event of an answer."""
    defaults: dict[str, Any] = {"response_id": "0" * 32, "model_id": "org/model"}
    event = GenerationStarted(**defaults | values)
    event.create_time.seconds = 1700000000
    return StreamGenerateResponse(started=event)


def delta(text: str, choice: int = 0) -> StreamGenerateResponse:
    """More text."""
    return StreamGenerateResponse(delta=GenerationDelta(choice_index=choice, text=text))


def finished(
    choice: int = 0, reason: FinishReason = FinishReason.FINISH_REASON_STOP
) -> StreamGenerateResponse:
    """The end of a choice."""
    return StreamGenerateResponse(
        finished=ChoiceFinished(choice_index=choice, finish_reason=reason)
    )


def usage(prompt: int = 3, completion: int = 2, cached: int = 1) -> StreamGenerateResponse:
    """The last event of an answer."""
    return StreamGenerateResponse(
        usage=Usage(
            prompt_token_count=prompt,
            completion_token_count=completion,
            cached_token_count=cached,
        )
    )


def whole_answer(*texts: str) -> GenerateResponse:
    """An answer that was not streamed."""
    response = GenerateResponse(
        response_id="0" * 32,
        model_id="org/model",
        choices=[
            Choice(index=i, text=text, finish_reason=FinishReason.FINISH_REASON_STOP)
            for i, text in enumerate(texts)
        ],
        usage=usage().usage,
    )
    response.create_time.seconds = 1700000000
    return response


async def fail(
    context: Context,
    code: grpc.StatusCode,
    message: str,
    *,
    reason: str | None = None,
    retry_seconds: float | None = None,
    field: str | None = None,
) -> None:
    """Ends the call as the core's own interceptor does."""
    details = []
    if reason is not None:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="sterna"))
    if retry_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMicroseconds(int(retry_seconds * 1e6))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=code.value[0], message=message, details=packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(code, message)
