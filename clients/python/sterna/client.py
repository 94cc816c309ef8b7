"""The blocking client."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from sterna import types
from sterna._calls import admin, answers, inference, sessions
from sterna._calls.call import Call, PartsCall, StreamCall
from sterna._channel import Connection, Tls
from sterna._events import Collector, event_from
from sterna._methods import gathered, planned, streamed, unary
from sterna._options import ChatOptions, Messages
from sterna.errors import from_rpc_error

R = TypeVar("R")


class GenerationStream(Iterator[types.Event]):
    """The events of one generation, in the order that the protocol gives.

    Use it in a `with` statement, or read it to its end: leaving it early cancels the generation.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._collector = Collector()

    def __iter__(self) -> Iterator[types.Event]:
        return self

    def __next__(self) -> types.Event:
        while True:
            try:
                message = next(self._call)
            except grpc.RpcError as error:
                raise from_rpc_error(error) from None  # type: ignore[arg-type]
            event = event_from(message)
            if event is not None:
                self._collector.add(event)
                return event

    @property
    def text_stream(self) -> Iterator[str]:
        """The text of the first choice, piece by piece."""
        for event in self:
            if isinstance(event, types.Delta) and event.choice_index == 0 and event.text:
                yield event.text

    def collect(self) -> types.Completion:
        """Read to the end, and put everything together, what was read before included."""
        for _ in self:
            pass
        return self._collector.completion()

    def cancel(self) -> None:
        """Stop the generation; without effect when it is done."""
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()


class Client:
    """A connection to a Sterna server. Any number of threads may use it at the same time.

    The connection is opened by the first call, and again when it was lost. Every call has a
    timeout, and raises a `SternaError` when it fails. Unary calls that meet an unavailable server
    are repeated up to three times; streams, and whatever would do its work twice, never are.

    Args:
        address: "host:port" or "unix:/path". None: the variable STERNA_ADDRESS, or
            "127.0.0.1:50051".
        timeout: Seconds for a call, unless it names its own.
        generation_timeout: Seconds for a call that generates, embeds or loads, unless it names its
            own.
        tls: True, or how to, for a server that speaks TLS.
        api_key: Sent with every call; use TLS on networks that you do not trust. None: the variable
            STERNA_API_KEY, if set.
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
            grpc.secure_channel(target, self._connection.tls.credentials(), options)
            if self._connection.tls
            else grpc.insecure_channel(target, options)
        )

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._connection.address

    @property
    def channel(self) -> grpc.Channel:
        """The channel, for stubs of `sterna.v1` and calls without a method here."""
        return self._channel

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What calls on `channel` must carry: the API key."""
        return self._connection.metadata

    def close(self) -> None:
        """Close the connection, cancelling calls in progress."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> types.Completion:
        """Answer a conversation. A string is one message of the user."""
        if options.get("session_id"):
            # Repeating this could add to the session twice, and a stream is never repeated.
            with self.stream_chat(messages, **options) as stream:
                return stream.collect()
        return self._run(inference.chat(messages, **options))

    generate = unary(inference.generate)
    stream_generate = streamed(inference.stream_generate)
    stream_chat = streamed(inference.stream_chat)
    tokenize = unary(inference.tokenize)
    tokenize_chat = unary(inference.tokenize_chat)
    detokenize = unary(inference.detokenize)
    embed = gathered(inference.embed)
    similarities = unary(inference.similarities)
    create_session = unary(sessions.create_session)
    get_session = unary(sessions.get_session)
    list_sessions = planned(sessions.list_sessions)
    delete_session = unary(sessions.delete_session)
    get_answer = unary(answers.get_answer)
    delete_answer = unary(answers.delete_answer)
    list_models = planned(admin.list_models)
    get_model = unary(admin.get_model)
    load_model = unary(admin.load_model)
    unload_model = unary(admin.unload_model)
    load_adapter = unary(admin.load_adapter)
    unload_adapter = unary(admin.unload_adapter)
    list_adapters = planned(admin.list_adapters)
    list_stored_adapters = planned(admin.list_stored_adapters)
    server_info = unary(admin.server_info)
    server_status = unary(admin.server_status)
    health = unary(admin.health)

    def _run(self, call: Call[R]) -> R:
        method = self._channel.unary_unary(
            call.method,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.reply.FromString,
        )
        timeout = self._connection.timeout_of(call.timeout, long=call.long)
        try:
            reply = method(call.request, timeout=timeout, metadata=self.metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None  # type: ignore[arg-type]
        return call.result(reply)

    def _gather(self, call: PartsCall[R]) -> R:
        method = self._channel.unary_stream(
            call.method,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.reply.FromString,
        )
        timeout = self._connection.timeout_of(call.timeout, long=True)
        parts = method(call.request, timeout=timeout, metadata=self.metadata)
        try:
            return call.result(list(parts))
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None  # type: ignore[arg-type]
        finally:
            # An interrupt may come between two parts.
            parts.cancel()

    def _start(self, call: StreamCall) -> GenerationStream:
        method = self._channel.unary_stream(
            call.method,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.reply.FromString,
        )
        timeout = self._connection.timeout_of(call.timeout, long=True)
        return GenerationStream(method(call.request, timeout=timeout, metadata=self.metadata))
