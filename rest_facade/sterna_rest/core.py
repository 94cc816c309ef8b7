"""The one connection from the façade to the core."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
from fastapi.requests import HTTPConnection
from grpc_health.v1 import health_pb2_grpc

from sterna.v1 import access_pb2_grpc, inference_pb2_grpc, model_admin_pb2_grpc, speech_pb2_grpc
from sterna_rest.errors.from_core import core_error
from sterna_rest.http.request_context import request_context
from sterna_rest.options import MEBIBYTE, FacadeOptions

T = TypeVar("T")

_CHANNEL_OPTIONS: list[tuple[str, int]] = [
    # Whole answers with log-probabilities are larger than gRPC's 4 MiB default.
    ("grpc.max_receive_message_length", 64 * MEBIBYTE),
    # Error details travel in the trailers.
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A core that was restarted is found again within seconds, not minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class CoreLink:
    """Channel and stubs. Make it inside of the event loop that will use it."""

    def __init__(self, options: FacadeOptions) -> None:
        self.options = options
        self.untrusted = False
        """Whether the core has said that this façade may not speak for its clients."""
        self._channel = _channel(options)
        self.access = access_pb2_grpc.AccessServiceStub(self._channel)
        self.inference = inference_pb2_grpc.InferenceServiceStub(self._channel)
        self.admin = model_admin_pb2_grpc.ModelAdminServiceStub(self._channel)
        self.speech = speech_pb2_grpc.SpeechServiceStub(self._channel)
        self.health = health_pb2_grpc.HealthStub(self._channel)

    async def close(self) -> None:
        """Cancels what is running and closes the connection."""
        await self._channel.close()

    async def control(
        self,
        request: HTTPConnection,
        method: Callable[..., Awaitable[T]],
        message: object,
        parameter: Callable[[str], str] = lambda field: field,
    ) -> T:
        """One unary call that generates nothing. Raises `ApiError`.

        `parameter` gives the caller's name for a field of the protocol.
        """
        timeout = self.options.control_timeout_seconds
        return await self._call(request, method, message, parameter, timeout)

    async def load(
        self,
        request: HTTPConnection,
        method: Callable[..., Awaitable[T]],
        message: object,
        parameter: Callable[[str], str],
    ) -> T:
        """As `control`, for calls that bring models in or out, which may take minutes."""
        timeout = self.options.load_timeout_seconds
        return await self._call(request, method, message, parameter, timeout)

    async def _call(
        self,
        request: HTTPConnection,
        method: Callable[..., Awaitable[T]],
        message: object,
        parameter: Callable[[str], str],
        timeout: float,
    ) -> T:
        try:
            return await method(
                message,
                timeout=timeout,
                metadata=request_context(request.scope).metadata(),
            )
        except grpc.aio.AioRpcError as error:
            raise core_error(error, parameter) from None


def _channel(options: FacadeOptions) -> grpc.aio.Channel:
    if options.tls is None:
        return grpc.aio.insecure_channel(options.core_address, options=_CHANNEL_OPTIONS)
    named: list[tuple[str, int | str]] = [*_CHANNEL_OPTIONS]
    if options.tls.server_name:
        named.append(("grpc.ssl_target_name_override", options.tls.server_name))
    return grpc.aio.secure_channel(options.core_address, options.tls.credentials(), options=named)


def core_link(connection: HTTPConnection) -> CoreLink:
    """The application's connection, as a FastAPI dependency."""
    link = connection.app.state.sterna_core
    assert isinstance(link, CoreLink)
    return link
