"""The events of a streamed message, as the bytes that go on the wire."""

from __future__ import annotations

from typing import Any

from sterna.v1.generation_event_pb2 import (
    ChoiceFinished,
    GenerationDelta,
    GenerationStarted,
    Usage,
)
from sterna_rest.errors import ApiError
from sterna_rest.generation.chunks import EventEncoder
from sterna_rest.generation.transcode import json_string
from sterna_rest.http.sse import named_event
from sterna_rest.messages.transcode import envelope, stop_fields, usage_json

_DELTA_HEAD = (
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":'
)


class MessageEvents(EventEncoder):
    """Turns the events of the core into those of this API. One instance serves one stream."""

    def __init__(self) -> None:
        self._stop: dict[str, str | None] = {}

    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """The message and its one block, both empty."""
        usage = Usage(
            prompt_token_count=started.prompt_token_count,
            cached_token_count=started.cached_token_count,
        )
        message = envelope(started.response_id, started.model_id) | {"usage": usage_json(usage)}
        return (
            _event("message_start", message=message)
            + _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            + _event("ping")
        )

    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More text."""
        if not delta.text:
            return b""
        return f"{_DELTA_HEAD}{json_string(delta.text)}}}}}\n\n".encode()

    def finished(self, prompt_index: int, finished: ChoiceFinished) -> bytes:
        """The end of the block."""
        self._stop = stop_fields(finished)
        return _event("content_block_stop", index=0)

    def end(self, usage: Usage) -> bytes:
        """Why the message ended, what it used, and its end."""
        return _event("message_delta", delta=self._stop, usage=usage_json(usage)) + _event(
            "message_stop"
        )

    def error(self, error: ApiError) -> bytes:
        """The end of a stream that failed."""
        return named_event("error", error.anthropic_body())


def _event(kind: str, **fields: Any) -> bytes:
    return named_event(kind, {"type": kind, **fields})
