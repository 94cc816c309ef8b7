"""A small gRPC server for the client's tests: it answers simply, and fails when told to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sterna.v1 import (
    generation_event_pb2,
    inference_pb2,
    inference_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
    model_pb2,
    session_pb2,
)

Context = grpc.aio.ServicerContext[Any, Any]
WORDS = ("The ", "capital ", "is ", "Paris", ".")
PAGE = 2
MODELS = ("a", "b", "c", "d", "e")


@dataclass(frozen=True)
class Failure:
    """How a call fails."""

    code: grpc.StatusCode
    message: str = "no"
    details: tuple[Message, ...] = ()
    # Sent in place of `details`, for what a broken proxy might send.
    raw_details: bytes | None = None

    async def abort(self, context: Context) -> None:
        """Fail this call."""
        raw = self.raw_details
        if raw is None:
            status = status_pb2.Status(code=self.code.value[0], message=self.message)
            for detail in self.details:
                packed = any_pb2.Any()
                packed.Pack(detail)
                status.details.append(packed)
            raw = status.SerializeToString()
        await context.abort(self.code, self.message, (("grpc-status-details-bin", raw),))


def error_info(reason: str, domain: str = "sterna", **metadata: str) -> error_details_pb2.ErrorInfo:
    """The detail that carries a reason."""
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


@dataclass
class FlakyServer(
    inference_pb2_grpc.InferenceServiceServicer, model_admin_pb2_grpc.ModelAdminServiceServicer
):
    """Fails once per entry of `failures`, then answers; remembers every call."""

    address: str = ""
    failures: deque[Failure] = field(default_factory=deque)
    # As `failures`, but after the first part of an answer that comes in parts.
    part_failures: deque[Failure] = field(default_factory=deque)
    # Seconds before an answer, and before each word of a stream.
    delay: float = 0.0
    # Words of a stream; cycles, so that it can be longer than anyone waits.
    word_count: int = len(WORDS)
    methods: list[str] = field(default_factory=list)
    requests: list[Message] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    words_sent: int = 0

    async def _enter(self, method: str, request: Message, context: Context) -> None:
        self.methods.append(method)
        self.requests.append(request)
        pairs: Iterable[tuple[str, str | bytes]] = context.invocation_metadata() or ()
        self.metadata.append(dict(pairs))
        self.deadlines.append(context.time_remaining())
        if self.failures:
            await self.failures.popleft().abort(context)

    async def Generate(  # noqa: N802
        self, request: inference_pb2.GenerateRequest, context: Context
    ) -> inference_pb2.GenerateResponse:
        await self._enter("Generate", request, context)
        await asyncio.sleep(self.delay)
        reply = inference_pb2.GenerateResponse(model_id="tern")
        reply.create_time.FromSeconds(1_700_000_000)
        reply.usage.prompt_token_count = 7
        reply.usage.completion_token_count = 5
        reply.usage.decode_duration.FromMilliseconds(250)
        reply.choices.add(
            text="".join(WORDS), finish_reason=generation_event_pb2.FINISH_REASON_STOP
        )
        return reply

    async def StreamGenerate(  # noqa: N802
        self, request: inference_pb2.StreamGenerateRequest, context: Context
    ) -> AsyncIterator[inference_pb2.StreamGenerateResponse]:
        try:
            await self._enter("StreamGenerate", request, context)
            event = inference_pb2.StreamGenerateResponse
            started = generation_event_pb2.GenerationStarted(model_id="tern", prompt_token_count=7)
            yield event(started=started)
            yield event(
                progress=generation_event_pb2.GenerationProgress(
                    search_started=generation_event_pb2.SearchStarted(query="France")
                )
            )
            # An event that this client does not know.
            yield event()
            for index in range(self.word_count):
                await asyncio.sleep(self.delay)
                text = WORDS[index % len(WORDS)]
                yield event(
                    delta=generation_event_pb2.GenerationDelta(text=text, token_ids=[index])
                )
                self.words_sent += 1
                self.began.set()
                if self.failures:
                    await self.failures.popleft().abort(context)
            yield event(
                finished=generation_event_pb2.ChoiceFinished(
                    finish_reason=generation_event_pb2.FINISH_REASON_STOP, stop_string="END"
                )
            )
            yield event(
                usage=generation_event_pb2.Usage(prompt_token_count=7, completion_token_count=5)
            )
        finally:
            self.ended.set()

    async def StreamEmbed(  # noqa: N802
        self, request: inference_pb2.StreamEmbedRequest, context: Context
    ) -> AsyncIterator[inference_pb2.StreamEmbedResponse]:
        """One part per input; its vector is the length of the text."""
        await self._enter("StreamEmbed", request, context)
        inputs = request.request.inputs
        for index, each in enumerate(inputs):
            part = inference_pb2.StreamEmbedResponse(
                model_id="tern", embeddings=[inference_pb2.Embedding(values=[len(each.text)])]
            )
            if index + 1 == len(inputs):
                part.usage.prompt_token_count = len(inputs)
            yield part
            if self.part_failures:
                await self.part_failures.popleft().abort(context)

    async def Tokenize(  # noqa: N802
        self, request: inference_pb2.TokenizeRequest, context: Context
    ) -> inference_pb2.TokenizeResponse:
        await self._enter("Tokenize", request, context)
        await asyncio.sleep(self.delay)
        return inference_pb2.TokenizeResponse(token_ids=request.text.text.encode())

    async def CreateSession(  # noqa: N802
        self, request: inference_pb2.CreateSessionRequest, context: Context
    ) -> inference_pb2.CreateSessionResponse:
        await self._enter("CreateSession", request, context)
        session = session_pb2.Session(session_id=request.session_id or "made")
        return inference_pb2.CreateSessionResponse(session=session)

    async def ListModels(  # noqa: N802
        self, request: model_admin_pb2.ListModelsRequest, context: Context
    ) -> model_admin_pb2.ListModelsResponse:
        await self._enter("ListModels", request, context)
        first = int(request.page_token or 0)
        after = first + PAGE
        return model_admin_pb2.ListModelsResponse(
            models=[
                model_pb2.Model(model_id=name, state=model_pb2.MODEL_STATE_LOADED)
                for name in MODELS[first:after]
            ],
            next_page_token=str(after) if after < len(MODELS) else "",
        )


@asynccontextmanager
async def running(
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[FlakyServer]:
    """A server on a free port, with the standard health service."""
    # What it does not implement answers UNIMPLEMENTED, as the base class does.
    servicer = FlakyServer()  # type: ignore[abstract]
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(servicer, server)
    model_admin_pb2_grpc.add_ModelAdminServiceServicer_to_server(servicer, server)
    checks = health.aio.HealthServicer()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    await checks.set("sterna.v1.SpeechService", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    servicer.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield servicer
    finally:
        await server.stop(None)
