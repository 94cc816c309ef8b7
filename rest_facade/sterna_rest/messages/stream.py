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
from sterna_rest.generation.model_name import answering_model
from sterna_rest.generation.transcode import json_string
from sterna_rest.http.sse import named_event
from sterna_rest.messages.transcode import envelope, stop_fields, usage_json

_TEXT: dict[str, Any] = {"type": "text", "text": ""}


class MessageEvents(EventEncoder):
    """Turns the events of the core into those of this API. One instance serves one stream.

    An answer is a sequence of blocks, of which one is open at a time: text, or one call.
    """

    def __init__(self) -> None:
        self._stop: dict[str, str | None] = {}
        self._block = -1
        self._open = ""

    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """The message, which is empty."""
        usage = Usage(
            prompt_token_count=started.prompt_token_count,
            cached_token_count=started.cached_token_count,
        )
        message = envelope(started.response_id, answering_model(started)) | {
            "usage": usage_json(usage)
        }
        return _event("message_start", message=message) + _event("ping")

    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More text, then pieces of calls."""
        events = []
        if delta.text:
            events.append(self._switch("text", _TEXT))
            text = f'{{"type":"text_delta","text":{json_string(delta.text)}}}'
            events.append(self._delta(text))
        for piece in delta.tool_calls:
            if piece.id:
                block = {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}}
                events.append(self._switch(f"call {piece.index}", block))
            if piece.arguments:
                json = json_string(piece.arguments)
                events.append(self._delta(f'{{"type":"input_json_delta","partial_json":{json}}}'))
        return b"".join(events)

    def finished(self, prompt_index: int, finished: ChoiceFinished) -> bytes:
        """The end of the last block; an answer without any has an empty one of text."""
        self._stop = stop_fields(finished)
        begun = self._switch("text", _TEXT) if self._block < 0 else b""
        return begun + _event("content_block_stop", index=self._block)

    def _switch(self, kind: str, block: dict[str, Any]) -> bytes:
        """Closes the open block and opens another one, unless that one is open."""
        if self._open == kind:
            return b""
        closed = _event("content_block_stop", index=self._block) if self._open else b""
        self._open = kind
        self._block += 1
        return closed + _event("content_block_start", index=self._block, content_block=block)

    def _delta(self, delta: str) -> bytes:
        return (
            f'event: content_block_delta\ndata: {{"type":"content_block_delta",'
            f'"index":{self._block},"delta":{delta}}}\n\n'
        ).encode()

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
