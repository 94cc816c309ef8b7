"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from grpc import aio

from sterna import types
from sterna._calls import admin, answers, inference, sessions
from sterna._calls.call import Call, PartsCall, StreamCall
from sterna._channel import Connection, Tls
from sterna._events import Collector, event_from
from sterna._methods import async_gathered, async_planned, async_streamed, async_unary
from sterna._options import ChatOptions, Messages
from sterna.errors import CallCancelledError, from_rpc_error

R = TypeVar("R")


@contextlib.contextmanager
def _errors_of(call: Any, cancelled: str) -> Iterator[None]:
    """Turns what goes wrong while a stream is read into the errors of this package."""
    try:
        yield
    except asyncio.CancelledError:
        # grpc raises this for a cancelled call, too, as if the task had been cancelled.
        task = asyncio.current_task()
        if call.cancelled() and (task is None or not task.cancelling()):
            raise CallCancelledError(cancelled, code=grpc.StatusCode.CANCELLED) from None
        raise
    except grpc.RpcError as error:
        raise from_rpc_error(error) from None  # type: ignore[arg-type]


class AsyncGenerationStream(AsyncIterator[types.Event]):
    """The events of one generation, in the order that the protocol gives.

    Use it in an `async with` statement, or read it to its end: leaving it early cancels the
    generation.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._messages: AsyncIterator[Any] = call.__aiter__()
        self._collector = Collector()

    def __aiter__(self) -> AsyncIterator[types.Event]:
        return self

    async def __anext__(self) -> types.Event:
        while True:
            with _errors_of(self._call, "the generation was cancelled"):
                message = await anext(self._messages)
            event = event_from(message)
            if event is not None:
                self._collector.add(event)
                return event

    @property
    async def text_stream(self) -> AsyncIterator[str]:
        """The text of the first choice, piece by piece."""
        async for event in self:
            if isinstance(event, types.Delta) and event.choice_index == 0 and event.text:
                yield event.text

    async def collect(self) -> types.Completion:
        """Read to the end, and put everything together, what was read before included."""
        async for _ in self:
            pass
        return self._collector.completion()

    def cancel(self) -> None:
        """Stop the generation; without effect when it is done."""
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()


class AsyncClient:
    """A connection to a Sterna server, for one event loop: create it where the loop runs.

    Arguments, methods and errors are those of `Client`; methods that return at once there are
    awaited here.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout: float = 30.0,
        generation_timeout: float = 600.0,
        tls: Tls | bool = False,
        api_key: str | None = None,
    ) -> None:
        self._connection = Connection.of(address, timeout, generation_timeout, tls, api_key)
        target, options = self._connection.address, self._connection.options
        self._channel = (
            aio.secure_channel(target, self._connection.tls.credentials(), options)
            if self._connection.tls
            else aio.insecure_channel(target, options)
        )

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._connection.address

    @property
    def channel(self) -> aio.Channel:
        """The channel, for stubs of `sterna.v1` and calls without a method here."""
        return self._channel

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What calls on `channel` must carry: the API key."""
        return self._connection.metadata

    async def close(self) -> None:
        """Close the connection, cancelling calls in progress."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> types.Completion:
        """Answer a conversation. A string is one message of the user."""
        if options.get("session_id"):
            # Repeating this could add to the session twice, and a stream is never repeated.
            async with self.stream_chat(messages, **options) as stream:
                return await stream.collect()
        return await self._run(inference.chat(messages, **options))

    generate = async_unary(inference.generate)
    stream_generate = async_streamed(inference.stream_generate)
    stream_chat = async_streamed(inference.stream_chat)
    tokenize = async_unary(inference.tokenize)
    tokenize_chat = async_unary(inference.tokenize_chat)
    detokenize = async_unary(inference.detokenize)
    embed = async_gathered(inference.embed)
    similarities = async_unary(inference.similarities)
    create_session = async_unary(sessions.create_session)
    get_session = async_unary(sessions.get_session)
    list_sessions = async_planned(sessions.list_sessions)
    delete_session = async_unary(sessions.delete_session)
    get_answer = async_unary(answers.get_answer)
    delete_answer = async_unary(answers.delete_answer)
    list_models = async_planned(admin.list_models)
    get_model = async_unary(admin.get_model)
    load_model = async_unary(admin.load_model)
    unload_model = async_unary(admin.unload_model)
    load_adapter = async_unary(admin.load_adapter)
    unload_adapter = async_unary(admin.unload_adapter)
    list_adapters = async_planned(admin.list_adapters)
    list_stored_adapters = async_planned(admin.list_stored_adapters)
    server_info = async_unary(admin.server_info)
    server_status = async_unary(admin.server_status)
    health = async_unary(admin.health)

    async def _run(self, call: Call[R]) -> R:
        method = self._channel.unary_unary(
            call.method,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.reply.FromString,
        )
        timeout = self._connection.timeout_of(call.timeout, long=call.long)
        try:
            reply = await method(call.request, timeout=timeout, metadata=self.metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None  # type: ignore[arg-type]
        return call.result(reply)

    async def _gather(self, call: PartsCall[R]) -> R:
        method = self._channel.unary_stream(
            call.method,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.reply.FromString,
        )
        timeout = self._connection.timeout_of(call.timeout, long=True)
        parts = method(call.request, timeout=timeout, metadata=self.metadata)
        with _errors_of(parts, "the call was cancelled"):
            return call.result([part async for part in parts])

    def _start(self, call: StreamCall) -> AsyncGenerationStream:
        method = self._channel.unary_stream(
            call.method,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.reply.FromString,
        )
        timeout = self._connection.timeout_of(call.timeout, long=True)
        return AsyncGenerationStream(method(call.request, timeout=timeout, metadata=self.metadata))
