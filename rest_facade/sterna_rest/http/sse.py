"""The few bytes that make a server-sent event."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from sterna_rest.errors.api_error import ApiError

COMMENT = b":\n\n"
DONE = b"data: [DONE]\n\n"


def named_event(name: str, body: dict[str, Any]) -> bytes:
    """An event that has a name besides its JSON."""
    return b"event: " + name.encode() + b"\ndata: " + to_json(body) + b"\n\n"


def error_event(error: ApiError) -> bytes:
    """The event that ends a stream that failed."""
    return b"data: " + to_json(error.openai_body()) + b"\n\n"
