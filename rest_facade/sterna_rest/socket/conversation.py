"""One conversation: it is kept by the core, and forgotten when the connection ends."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

from fastapi.requests import HTTPConnection

from sterna.v1.chat_pb2 import ChatMessage as ChatMessageProto
from sterna.v1.generation_event_pb2 import Usage
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import CreateSessionRequest, DeleteSessionRequest
from sterna_rest.api.transcode import api_parameter, spec_with_options
from sterna_rest.chat.transcode import text_message
from sterna_rest.core import CoreLink
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import internal_error
from sterna_rest.generation.call import AnswerStream, Generator
from sterna_rest.generation.model_name import answering_model
from sterna_rest.generation.transcode import FINISH_REASONS, usage_json
from sterna_rest.socket.schemas import ChatMessage

# Seconds between tries.
_BUSY_DELAYS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

Send = Callable[[dict[str, Any]], Awaitable[None]]

# For those that are not deleted because the façade or the core went away first.
_TTL_SECONDS = 24 * 3600


class Conversation:
    """Answers one message after the other, each after all that came before."""

    def __init__(self, core: CoreLink, connection: HTTPConnection, send: Send) -> None:
        self._core = core
        self._connection = connection
        self._send = send
        self._session_id = ""

    async def answer(self, body: ChatMessage) -> None:
        """Sends `start`, `delta`s and `done`. Raises `ApiError`; then nothing was stored.

        Cancelling this cancels the work in the core.
        """
        question = text_message("user", body.message)
        spec = spec_with_options(body.model, body.options)
        spec.session_id = self._session_id
        spec.chat.messages.append(question)
        stream = await self._start(spec)
        usage: Usage | None = None
        texts: list[str] = []
        reason = ""
        try:
            async with aclosing(stream.events()) as events:
                async for event in events:
                    kind = event.WhichOneof("event")
                    if kind == "started":
                        await self._send(
                            {
                                "type": "start",
                                "id": event.started.response_id,
                                "model": answering_model(event.started),
                            }
                        )
                    elif kind == "delta" and event.delta.text:
                        texts.append(event.delta.text)
                        await self._send({"type": "delta", "text": event.delta.text})
                    elif kind == "finished":
                        reason = FINISH_REASONS[event.finished.finish_reason]
                    elif kind == "usage":
                        usage = event.usage
        finally:
            stream.cancel()
        # Only now has the core let go of the session. A call that ends without having said so is
        # an error.
        if usage is None:
            raise internal_error()
        text = "".join(texts)
        if not self._session_id:
            await self._begin([question, text_message("assistant", text)])
        await self._send(
            {
                "type": "done",
                "finish_reason": reason,
                "text": text,
                "usage": usage_json(usage),
            }
        )

    async def forget(self) -> None:
        """Deletes what the core keeps. Never raises."""
        if self._session_id:
            request = DeleteSessionRequest(session_id=self._session_id)
            with suppress(ApiError):
                await self._core.control(
                    self._connection, self._core.inference.DeleteSession, request
                )

    async def _start(self, spec: GenerationSpec) -> AnswerStream:
        """The accepted call. Raises `ApiError`.

        Nobody else knows the session. When it is busy, the core is still ending the turn that was
        cancelled last, which takes moments.
        """
        generator = Generator(self._core, self._connection, lambda field, _: api_parameter(field))
        for delay in (*_BUSY_DELAYS, None):
            stream = generator.stream(spec, 0)
            try:
                await stream.accepted()
                break
            except ApiError as error:
                if error.code != "session_busy" or delay is None:
                    raise
                await asyncio.sleep(delay)
            except BaseException:
                stream.cancel()
                raise
        return stream

    async def _begin(self, messages: list[ChatMessageProto]) -> None:
        request = CreateSessionRequest(session_id=str(uuid.uuid4()), messages=messages)
        request.ttl.FromSeconds(_TTL_SECONDS)
        await self._core.control(self._connection, self._core.inference.CreateSession, request)
        self._session_id = request.session_id
