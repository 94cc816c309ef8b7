"""`WS /v1/ws`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.websockets import WebSocket, WebSocketDisconnect
from pydantic_core import to_json

from sterna_rest.access.middleware import admitted
from sterna_rest.core import CoreLink, core_link
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import internal_error
from sterna_rest.http.request_context import request_context
from sterna_rest.http.websocket import POLICY_VIOLATION, origin_allowed, parsed, receive
from sterna_rest.socket.conversation import Conversation
from sterna_rest.socket.schemas import INCOMING, Cancel, ChatMessage

router = APIRouter()

_logger = logging.getLogger("sterna.rest")


@router.websocket("/v1/ws")
async def converse(socket: WebSocket, core: Annotated[CoreLink, Depends(core_link)]) -> None:
    """One conversation, as long as the connection lasts. docs/rest.md has the events."""
    if not origin_allowed(socket, core.options.cors_origins):
        await socket.close(POLICY_VIOLATION)
        return
    await socket.accept()

    async def send(event: dict[str, Any]) -> None:
        await socket.send_text(to_json(event).decode())

    conversation = Conversation(core, socket, send)
    answer: asyncio.Task[None] | None = None
    try:
        while True:
            raw = await receive(socket)
            try:
                incoming = parsed(raw, core.options.max_body_bytes, INCOMING)
                running = answer is not None and not answer.done()
                if isinstance(incoming, Cancel):
                    if answer is not None and running:
                        await _stop(answer)
                        await send({"type": "done", "finish_reason": "cancelled"})
                elif running:
                    raise ApiError(
                        409,
                        "The previous message is still being answered; wait for `done`, or send "
                        '{"type": "cancel"}.',
                        code="session_busy",
                    )
                else:
                    answer = asyncio.create_task(_answer(socket, conversation, incoming, send))
            except ApiError as error:
                await send(_error(error))
    except WebSocketDisconnect:
        pass
    finally:
        if answer is not None:
            await _stop(answer)
        await conversation.forget()


async def _answer(
    socket: WebSocket, conversation: Conversation, body: ChatMessage, send: Any
) -> None:
    """One answer, or the event that says why there is none."""
    try:
        try:
            async with admitted(socket):
                await conversation.answer(body)
        except ApiError as error:
            await send(_error(error))
        except (WebSocketDisconnect, OSError):
            raise
        except Exception:
            _logger.exception("request %s failed", request_context(socket.scope).request_id)
            await send(_error(internal_error()))
    except (WebSocketDisconnect, OSError, RuntimeError):
        pass  # the client left while we were writing


async def _stop(answer: asyncio.Task[None]) -> None:
    answer.cancel()
    with suppress(asyncio.CancelledError):
        await answer


def _error(error: ApiError) -> dict[str, Any]:
    return {"type": "error", "error": error.envelope()}
