"""A core in the event loop of the test, and what tests ask of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from sterna.v1 import (
    chat_pb2,
    generation_pb2,
    inference_pb2,
    inference_pb2_grpc,
    model_admin_pb2,
    model_admin_pb2_grpc,
    server_status_pb2,
)
from sterna_service.app import Core, CoreOptions, start_core

# Long enough for a busy machine; no test takes it as a measure.
PATIENCE = 60.0

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class CoreClient:
    """A core and a channel to it."""

    core: Core
    channel: grpc.aio.Channel
    inference: inference_pb2_grpc.InferenceServiceAsyncStub
    admin: model_admin_pb2_grpc.ModelAdminServiceAsyncStub

    @property
    def raw(self) -> Any:
        """The channel, for calls whose requests are bytes; its types know of messages only."""
        return self.channel

    async def generate(self, spec: generation_pb2.GenerationSpec) -> inference_pb2.GenerateResponse:
        return await self.inference.Generate(
            inference_pb2.GenerateRequest(spec=spec), timeout=PATIENCE
        )

    def stream(
        self, spec: generation_pb2.GenerationSpec, timeout: float = PATIENCE, **options: Any
    ) -> grpc.aio.UnaryStreamCall[Any, inference_pb2.StreamGenerateResponse]:
        request = inference_pb2.StreamGenerateRequest(spec=spec)
        return self.inference.StreamGenerate(request, timeout=timeout, **options)

    async def status(self) -> server_status_pb2.ServerStatus:
        request = model_admin_pb2.GetServerStatusRequest()
        return (await self.admin.GetServerStatus(request, timeout=PATIENCE)).status

    async def engine(self) -> server_status_pb2.EngineStatus:
        return (await self.status()).engines[0]


@asynccontextmanager
async def running_core(options: CoreOptions) -> AsyncIterator[CoreClient]:
    """Starts a core and stops it again, at once."""
    core = await start_core(options)
    try:
        async with connect(core) as client:
            yield client
    finally:
        await core.stop(grace_seconds=0.0)


@asynccontextmanager
async def connect(core: Core) -> AsyncIterator[CoreClient]:
    """A channel of its own to a core."""
    # Channels to one address share a connection unless they are told apart.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(core.address, options=options) as channel:
        yield CoreClient(
            core,
            channel,
            inference_pb2_grpc.InferenceServiceStub(channel),
            model_admin_pb2_grpc.ModelAdminServiceStub(channel),
        )


def chat(*texts: str, **fields: Any) -> generation_pb2.GenerationSpec:
    """A conversation that begins with the user; `fields` are further ones of the specification."""
    roles = (chat_pb2.ROLE_USER, chat_pb2.ROLE_ASSISTANT)
    messages = [
        chat_pb2.ChatMessage(role=roles[i % 2], content=[chat_pb2.ContentPart(text=text)])
        for i, text in enumerate(texts)
    ]
    return generation_pb2.GenerationSpec(chat=chat_pb2.ChatPrompt(messages=messages), **fields)


def long_answer(tokens: int = 900, **fields: Any) -> generation_pb2.GenerationSpec:
    """A call for so many tokens, whatever the model would like to say."""
    stop = generation_pb2.StopCriteria(max_tokens=tokens, ignore_eos=True)
    return chat("Tell me a story.", stop=stop, **fields)


ENDLESS = 90_000
"""Tokens of an answer that does not end while a test looks at it."""


def endless_answer(**fields: Any) -> generation_pb2.GenerationSpec:
    """A call that has to be cancelled; only for a model made by `endless_checkpoint`."""
    return long_answer(ENDLESS, **fields)


def endless_checkpoint(embedded: Path, target: Path) -> Path:
    """A copy of the embedded model that claims a context window of 100,000 tokens."""
    shutil.copytree(embedded, target)
    config = json.loads((target / "config.json").read_text())
    config["max_position_embeddings"] = 100_000
    (target / "config.json").write_text(json.dumps(config))
    return target


@dataclass(frozen=True)
class Refusal:
    """An error as a client sees it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    fields: list[str]
    retry_seconds: float | None

    @staticmethod
    def of(error: grpc.aio.AioRpcError) -> Refusal:
        packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        assert isinstance(packed, bytes), f"no details: {error!r}"
        status = status_pb2.Status.FromString(packed)
        assert (status.code, status.message) == (error.code().value[0], error.details())
        info = _detail(status, error_details_pb2.ErrorInfo())
        assert info is not None
        assert info.domain == "sterna"
        request = _detail(status, error_details_pb2.BadRequest())
        retry = _detail(status, error_details_pb2.RetryInfo())
        return Refusal(
            code=error.code(),
            message=status.message,
            reason=info.reason,
            metadata=dict(info.metadata),
            fields=[each.field for each in request.field_violations] if request else [],
            retry_seconds=retry.retry_delay.ToMilliseconds() / 1000 if retry else None,
        )


async def refusal(call: Awaitable[object]) -> Refusal:
    """The refusal that a call must end with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return Refusal.of(error)
    raise AssertionError(f"it was not refused: {answer}")


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until something holds that nobody announces."""
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


def _detail(status: status_pb2.Status, message: M) -> M | None:
    return next((message for packed in status.details if packed.Unpack(message)), None)
