"""The events of a stream under `/api`, as the bytes that go on the wire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic_core import to_json

from sterna.v1.generation_event_pb2 import (
    ChoiceFinished,
    GenerationDelta,
    GenerationStarted,
    Usage,
)
from sterna_rest.generation.chunks import EventEncoder
from sterna_rest.generation.transcode import json_string

# From the whole text to the id of the session that now holds it.
Store = Callable[[str], Awaitable[str]]


class ApiEvents(EventEncoder):
    """Turns events of the core into those of this API. One instance serves one stream."""

    def __init__(self, store: Store | None = None) -> None:
        self._store = store
        self._texts: list[str] = []
        self._last: dict[str, object] = {"done": True}

    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """Nothing: this API begins with the first text."""
        return b""

    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More text."""
        if not delta.text:
            return b""
        self._texts.append(delta.text)
        return f'data: {{"token":{json_string(delta.text)},"done":false}}\n\n'.encode()

    def finished(self, prompt_index: int, finished: ChoiceFinished) -> bytes:
        """Nothing: the last event says it."""
        return b""

    async def complete(self) -> None:
        """Has the answer stored, so that the last event can name its session."""
        if self._store is not None:
            self._last["session_id"] = await self._store("".join(self._texts))

    def end(self, usage: Usage) -> bytes:
        """The session and the whole text."""
        self._last["full_text"] = "".join(self._texts)
        return b"data: " + to_json(self._last) + b"\n\n"
