"""Answers as lines of JSON."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from sterna.v1.generation_event_pb2 import (
    ChoiceFinished,
    GenerationDelta,
    GenerationStarted,
    Usage,
)
from sterna_rest.errors import ApiError
from sterna_rest.generation.chunks import EventEncoder
from sterna_rest.generation.model_name import answering_model
from sterna_rest.ollama.transcode import call_json, done, done_reason, now

MEDIA_TYPE = "application/x-ndjson"


def line(body: dict[str, Any]) -> bytes:
    """One object on a line of its own."""
    return to_json(body) + b"\n"


def error_line(error: ApiError) -> bytes:
    """The end of a stream that failed."""
    return line({"error": error.message})


class OllamaLines(EventEncoder):
    """Turns the events of the core into lines; `chat` says which of the two shapes they have."""

    # An empty line is no JSON, and clients parse every line.
    keepalive = b""
    media_type = MEDIA_TYPE

    def __init__(self, *, chat: bool) -> None:
        self._chat = chat
        self._model = ""
        self._reason = "stop"
        self._calls: dict[int, list[str]] = {}

    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """Nothing: this API begins with the first text."""
        self._model = answering_model(started)
        return b""

    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More text. Calls are collected: these clients take them whole."""
        for piece in delta.tool_calls:
            name_and_arguments = self._calls.setdefault(piece.index, ["", ""])
            name_and_arguments[0] += piece.name
            name_and_arguments[1] += piece.arguments
        return self._line(self._content(delta.text)) if delta.text else b""

    def finished(self, prompt_index: int, finished: ChoiceFinished) -> bytes:
        """The calls, if there are any."""
        self._reason = done_reason(finished.finish_reason)
        if not self._calls:
            return b""
        calls = [call_json(*each) for _, each in sorted(self._calls.items())]
        return self._line({"message": {"role": "assistant", "content": "", "tool_calls": calls}})

    def end(self, usage: Usage) -> bytes:
        """Why it ended, and what it used."""
        return line(done(self._model, self._reason, usage) | self._content(""))

    def error(self, error: ApiError) -> bytes:
        """The end of a stream that failed."""
        return error_line(error)

    def _content(self, text: str) -> dict[str, Any]:
        if self._chat:
            return {"message": {"role": "assistant", "content": text}}
        return {"response": text}

    def _line(self, content: dict[str, Any]) -> bytes:
        return line({"model": self._model, "created_at": now()} | content | {"done": False})
