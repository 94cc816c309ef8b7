"""`WS /v1/realtime`: one spoken conversation, as long as the connection lasts."""

from __future__ import annotations

import asyncio
import base64
import logging
from contextlib import suppress
from typing import Annotated, Any

import grpc
from fastapi import APIRouter, Depends, Query
from fastapi.websockets import WebSocket, WebSocketDisconnect
from pydantic_core import to_json

from sterna.v1 import speech_pb2 as proto
from sterna_rest.audio.call import speech_error
from sterna_rest.chat.transcode import text_message
from sterna_rest.core import CoreLink, core_link
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import internal_error
from sterna_rest.http.request_context import request_context
from sterna_rest.http.websocket import POLICY_VIOLATION, origin_allowed, parsed, receive
from sterna_rest.realtime.events import RealtimeEvents, error_event, message_item, new_id
from sterna_rest.realtime.schemas import (
    CLIENT_EVENT,
    AppendAudio,
    CancelResponse,
    ClearAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    Event,
    SessionUpdate,
    TruncateItem,
)
from sterna_rest.realtime.session import SessionSettings

router = APIRouter()

_logger = logging.getLogger("sterna.rest")

_LARGEST_PART = 64 * 1024
_INTERNAL_ERROR = 1011


@router.websocket("/v1/realtime")
async def realtime(
    socket: WebSocket,
    core: Annotated[CoreLink, Depends(core_link)],
    model: Annotated[str, Query()] = "",
) -> None:
    """A spoken conversation; docs/speech.md has the events."""
    if not origin_allowed(socket, core.options.cors_origins):
        await socket.close(POLICY_VIOLATION)
        return
    # Browsers cannot set headers; they send keys as protocols beside this one.
    offered = socket.scope.get("subprotocols", [])
    await socket.accept("realtime" if "realtime" in offered else None)
    connection = _Connection(socket, core, SessionSettings(model=model))
    await connection.run()


class _Connection:
    """Passes events on in both directions until one side ends."""

    def __init__(self, socket: WebSocket, core: CoreLink, settings: SessionSettings) -> None:
        self._socket = socket
        self._limit = core.options.max_body_bytes
        self._events = RealtimeEvents(settings)
        self._call: Any = core.speech.Converse(
            metadata=request_context(socket.scope).metadata(), wait_for_ready=False
        )
        self._sending = asyncio.Lock()
        self._uncommitted = 0

    async def run(self) -> None:
        """Returns when the connection is closed. Whatever happens, the core's call ends with it."""
        inward = asyncio.create_task(self._inward())
        outward = asyncio.create_task(self._outward())
        try:
            await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
            if inward.done() and not await inward:
                # The core takes no more; why, it says in the other direction.
                await outward
        finally:
            self._call.cancel()
            for task in (inward, outward):
                task.cancel()
            await asyncio.gather(inward, outward, return_exceptions=True)

    async def _inward(self) -> bool:
        """From the client to the core; whether it was the client that left."""
        try:
            # A write that meets a refusal would hide why the core refuses.
            await self._call.initial_metadata()
            await self._write(config=self._events.newest.config())
            while True:
                raw = await receive(self._socket)
                event: Event | None = None
                try:
                    event = parsed(raw, self._limit, CLIENT_EVENT)
                    await self._take(event)
                except ApiError as error:
                    await self._tell([error_event(error, event.event_id if event else None)])
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return False
        except (WebSocketDisconnect, OSError, RuntimeError):
            return True

    async def _outward(self) -> None:
        """From the core to the client."""
        error: ApiError | None = None
        try:
            while (event := await self._call.read()) is not grpc.aio.EOF:
                await self._tell(self._events.take(event))
        except grpc.aio.AioRpcError as failure:
            error = speech_error(failure)
        except (WebSocketDisconnect, OSError, RuntimeError):
            return  # the client left while we were writing
        except Exception:
            request_id = request_context(self._socket.scope).request_id
            _logger.exception("request %s failed", request_id)
            error = internal_error()
        with suppress(WebSocketDisconnect, OSError, RuntimeError):
            if error is not None:
                await self._tell([error_event(error)])
            await self._socket.close(_INTERNAL_ERROR if error is not None else 1000)

    async def _take(self, event: Event) -> None:
        """Does what the client asks for. Raises `ApiError`."""
        match event:
            case SessionUpdate():
                settings = self._events.newest.updated(event.session)
                self._events.propose(settings)
                await self._write(config=settings.config())
            case AppendAudio():
                await self._append(base64.b64decode(event.audio))
            case CommitAudio():
                await self._commit()
            case ClearAudio():
                self._uncommitted = 0
                await self._write(clear=proto.ClearAudio())
                await self._tell([{"type": "input_audio_buffer.cleared"}])
            case CreateItem():
                await self._create(event)
            case TruncateItem():
                if event.item_id != self._events.spoken_item:
                    raise ApiError(
                        400,
                        "Only the item of the last spoken answer can be truncated.",
                        code="item_not_truncatable",
                        param="item_id",
                    )
                played = proto.Interrupt()
                played.played_duration.FromMilliseconds(event.audio_end_ms)
                await self._write(interrupt=played)
            case CreateResponse():
                await self._respond(event)
            case CancelResponse():
                if self._events.response is None:
                    raise ApiError(
                        400, "No response is in progress.", code="response_cancel_not_active"
                    )
                self._events.cancelled = True
                await self._write(interrupt=proto.Interrupt())

    async def _append(self, audio: bytes) -> None:
        self._uncommitted += len(audio)
        for begin in range(0, len(audio), _LARGEST_PART):
            await self._write(audio=audio[begin : begin + _LARGEST_PART])

    async def _commit(self) -> None:
        if not self._uncommitted:
            raise ApiError(
                400,
                "The buffer holds no audio; send `input_audio_buffer.append` first.",
                code="input_audio_buffer_commit_empty",
            )
        self._uncommitted = 0
        if self._events.newest.turn_detection is None:
            await self._tell(self._events.committed())
        await self._write(commit=proto.CommitAudio())

    async def _create(self, event: CreateItem) -> None:
        texts = [part.text for part in event.item.content]
        message = text_message(event.item.role, "".join(texts))
        await self._write(message=message)
        item = message_item(event.item.id or new_id("item"), event.item.role, texts)
        await self._tell(self._events.created(item))

    async def _respond(self, event: CreateResponse) -> None:
        if self._events.response is not None:
            raise ApiError(
                409,
                "A response is in progress; wait for `response.done`, or send `response.cancel`.",
                code="conversation_already_has_active_response",
            )
        respond = proto.Respond()
        settings = self._events.newest
        if event.response is not None:
            settings = settings.for_response(event.response)
            respond.config.CopyFrom(settings.config())
        self._events.asked.append(settings)
        await self._write(respond=respond)

    async def _write(self, **payload: Any) -> None:
        await self._call.write(proto.ConverseRequest(**payload))

    async def _tell(self, events: list[dict[str, Any]]) -> None:
        async with self._sending:
            for event in events:
                numbered = {"event_id": new_id("event"), **event}
                await self._socket.send_text(to_json(numbered).decode())
