"""Generation calls to the core that end when the HTTP client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import cast

import grpc
from fastapi.requests import HTTPConnection

from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import (
    GenerateRequest,
    GenerateResponse,
    StreamGenerateRequest,
    StreamGenerateResponse,
)
from sterna_rest.core import CoreLink
from sterna_rest.errors import ApiError
from sterna_rest.errors.from_core import core_error
from sterna_rest.http.request_context import request_context

# The core sends this in its initial metadata when it has queued a request. A call that it refuses
# has none: grpc.aio then reports empty initial metadata before it reports the status.
_ACCEPTED_KEY = "x-request-id"

# Room for what the message holds besides the prompt.
_MESSAGE_MARGIN = 4096

# From a field of the protocol, and the index of the prompt it was sent with, to the caller's name.
Parameter = Callable[[str, int], str]


class Generator:
    """Makes the generation calls of one HTTP request."""

    def __init__(self, core: CoreLink, request: HTTPConnection, parameter: Parameter) -> None:
        self._core = core
        self._timeout = core.options.generation_timeout_seconds
        self._metadata = request_context(request.scope).metadata()
        self._parameter = parameter

    async def whole(self, spec: GenerationSpec, prompt_index: int) -> GenerateResponse:
        """The complete answer. Cancelling this cancels the call. Raises `ApiError`."""
        self._check_size(spec)
        try:
            response = await self._core.inference.Generate(
                GenerateRequest(spec=spec), timeout=self._timeout, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            raise core_error(error, self._names(prompt_index)) from None
        return response

    def stream(self, spec: GenerationSpec, prompt_index: int) -> AnswerStream:
        """Starts the call. The caller must see to it that the stream is cancelled or ends."""
        self._check_size(spec)
        call = self._core.inference.StreamGenerate(
            StreamGenerateRequest(spec=spec), timeout=self._timeout, metadata=self._metadata
        )
        return AnswerStream(call, self._names(prompt_index))

    def _names(self, prompt_index: int) -> Callable[[str], str]:
        return lambda field: self._parameter(field, prompt_index)

    def _check_size(self, spec: GenerationSpec) -> None:
        limit = self._core.options.max_message_bytes - _MESSAGE_MARGIN
        if spec.ByteSize() > limit:
            raise ApiError(
                413,
                f"The prompt is larger than the limit of {limit} bytes; send less.",
                code="request_too_large",
            )


class AnswerStream:
    """The events of one streaming call."""

    def __init__(
        self,
        call: grpc.aio.UnaryStreamCall[StreamGenerateRequest, StreamGenerateResponse],
        parameter: Callable[[str], str],
    ) -> None:
        self._call = call
        self._parameter = parameter
        self._first: asyncio.Task[StreamGenerateResponse | None] | None = None

    def cancel(self) -> None:
        """Ends the call, and with it the work in the core. Harmless when it has ended."""
        self._call.cancel()

    async def accepted(self) -> None:
        """Returns when the core has queued the request; raises `ApiError` when it refuses.

        So a refusal becomes an HTTP status, and the headers still leave before a long prompt is
        computed.
        """
        initial = await self._call.initial_metadata()
        self._first = asyncio.ensure_future(self._read())
        # A stream may be cancelled before anybody asks for its first event.
        self._first.add_done_callback(lambda task: task.cancelled() or task.exception())
        if all(key != _ACCEPTED_KEY for key, _ in initial):
            await self._first

    async def events(self) -> AsyncGenerator[StreamGenerateResponse, None]:
        """Every event in order. Raises `ApiError` when the call fails."""
        event = await (self._first if self._first is not None else self._read())
        while event is not None:
            yield event
            event = await self._read()

    async def _read(self) -> StreamGenerateResponse | None:
        try:
            event = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise core_error(error, self._parameter) from None
        return None if event is grpc.aio.EOF else cast(StreamGenerateResponse, event)
