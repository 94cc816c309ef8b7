"""Calls to the core that compute vectors."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

import grpc
from fastapi.requests import HTTPConnection

from sterna.v1.inference_pb2 import (
    ComputeSimilaritiesRequest,
    ComputeSimilaritiesResponse,
    EmbedRequest,
    StreamEmbedRequest,
    StreamEmbedResponse,
)
from sterna_rest.core import CoreLink
from sterna_rest.errors.from_core import core_error
from sterna_rest.http.request_context import request_context

T = TypeVar("T")

# From a field of the protocol, and the index of the call's first input, to the caller's name.
Parameter = Callable[[int, str], str]


class Embedder:
    """Makes the calls of one HTTP request, all within one time limit."""

    def __init__(self, core: CoreLink, request: HTTPConnection) -> None:
        self._core = core
        self._deadline = time.monotonic() + core.options.generation_timeout_seconds
        self._metadata = request_context(request.scope).metadata()

    async def embeddings(
        self, requests: Sequence[EmbedRequest], parameter: Parameter
    ) -> AsyncGenerator[StreamEmbedResponse, None]:
        """The parts of the answers in order, one call after the other. Raises `ApiError`.

        One call fills the engine's batch; more at a time would only crowd out other clients. All
        go to the model that answered the first. The last part of each call has its usage.
        """
        model_id = ""
        first = 0
        for request in requests:
            request.model_id = model_id or request.model_id

            def named(field: str, first: int = first) -> str:
                return parameter(first, field)

            call = self._core.inference.StreamEmbed(
                StreamEmbedRequest(request=request),
                timeout=max(0.0, self._deadline - time.monotonic()),
                metadata=self._metadata,
            )
            try:
                async for part in call:
                    model_id = part.model_id
                    yield part
            except grpc.aio.AioRpcError as error:
                raise core_error(error, named) from None
            finally:
                # Whoever leaves in the middle ends the call.
                call.cancel()
            first += len(request.inputs)

    async def similarities(
        self, request: ComputeSimilaritiesRequest, parameter: Callable[[str], str]
    ) -> ComputeSimilaritiesResponse:
        """The answer of the one call. Raises `ApiError`."""
        return await self._call(self._core.inference.ComputeSimilarities, request, parameter)

    async def _call(
        self,
        method: Callable[..., Awaitable[T]],
        message: ComputeSimilaritiesRequest,
        parameter: Callable[[str], str],
    ) -> T:
        try:
            return await method(
                message,
                timeout=max(0.0, self._deadline - time.monotonic()),
                metadata=self._metadata,
            )
        except grpc.aio.AioRpcError as error:
            raise core_error(error, parameter) from None
