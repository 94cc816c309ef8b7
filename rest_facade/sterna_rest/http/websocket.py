"""What every WebSocket endpoint does first and always."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar
from urllib.parse import urlsplit

from fastapi.websockets import WebSocket, WebSocketDisconnect
from pydantic import TypeAdapter, ValidationError

from sterna_rest.errors import ApiError
from sterna_rest.errors.validation import validation_error
from sterna_rest.http.strict_json import parse_json

T = TypeVar("T")

POLICY_VIOLATION = 1008


def origin_allowed(socket: WebSocket, others: Collection[str]) -> bool:
    """Whether no page opened the socket, or one of this server or of the `others`.

    A browser lets any page open a socket to any server.
    """
    origin = socket.headers.get("origin")
    return (
        origin is None
        or urlsplit(origin).netloc == socket.headers.get("host")
        or origin in others
        or "*" in others
    )


async def receive(socket: WebSocket) -> bytes:
    """The next message, text or bytes.

    Raises:
        WebSocketDisconnect: The client left.
    """
    event = await socket.receive()
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1005))
    text: str | None = event.get("text")
    return text.encode() if text is not None else event.get("bytes") or b""


def parsed(raw: bytes, limit: int, adapter: TypeAdapter[T], place: str = "body") -> T:
    """A message of at most `limit` bytes as what `adapter` takes. Raises `ApiError`."""
    if len(raw) > limit:
        raise ApiError(
            413,
            f"The message is larger than the limit of {limit} bytes; send less.",
            code="request_too_large",
        )
    try:
        return adapter.validate_python(parse_json(raw))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise validation_error([{**p, "loc": (place, *p["loc"])} for p in problems]) from None
