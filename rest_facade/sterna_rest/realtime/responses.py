"""The events of one answer, as OpenAI's Realtime API tells them. Pure functions of what came."""

from __future__ import annotations

import base64
from typing import Any

from sterna.v1.generation_event_pb2 import Usage
from sterna_rest.realtime.session import SessionSettings

Json = dict[str, Any]


class RealtimeResponse:
    """One answer: an item of the assistant with one part."""

    def __init__(self, response_id: str, item_id: str, settings: SessionSettings) -> None:
        self.response_id = response_id
        self.item_id = item_id
        self._settings = settings
        self._spoken = settings.modality == "audio"
        self._text = ""

    def begin(self, previous_item_id: str | None) -> list[Json]:
        """The answer, which is empty."""
        item = self._item("in_progress", [])
        return [
            {"type": "response.created", "response": self._response("in_progress", [])},
            {"type": "response.output_item.added", **self._where(), "item": item},
            {
                "type": "conversation.item.added",
                "previous_item_id": previous_item_id,
                "item": item,
            },
            {
                "type": "response.content_part.added",
                **self._place(),
                "part": self._part(""),
            },
        ]

    def text(self, text: str) -> list[Json]:
        """More of its text."""
        self._text += text
        kind = "output_audio_transcript" if self._spoken else "output_text"
        return [{"type": f"response.{kind}.delta", **self._place(), "delta": text}]

    def audio(self, data: bytes) -> list[Json]:
        """More of its sound."""
        delta = base64.b64encode(data).decode()
        return [{"type": "response.output_audio.delta", **self._place(), "delta": delta}]

    def end(
        self, status: str, details: Json | None = None, usage: Usage | None = None
    ) -> list[Json]:
        """The end: `status` is completed, cancelled or failed."""
        item_status = "completed" if status == "completed" else "incomplete"
        item = self._item(item_status, [self._content()])
        done: list[Json] = []
        if self._spoken:
            done += [
                {"type": "response.output_audio.done", **self._place()},
                {
                    "type": "response.output_audio_transcript.done",
                    **self._place(),
                    "transcript": self._text,
                },
            ]
        else:
            done.append({"type": "response.output_text.done", **self._place(), "text": self._text})
        response = self._response(status, [item])
        response["status_details"] = {"type": status, **(details or {})} if details else None
        if usage is not None:
            response["usage"] = _usage(usage)
        return [
            *done,
            {"type": "response.content_part.done", **self._place(), "part": self._part(self._text)},
            {"type": "response.output_item.done", **self._where(), "item": item},
            {"type": "conversation.item.done", "item": item},
            {"type": "response.done", "response": response},
        ]

    def _where(self) -> Json:
        return {"response_id": self.response_id, "output_index": 0}

    def _place(self) -> Json:
        return {**self._where(), "item_id": self.item_id, "content_index": 0}

    def _part(self, text: str) -> Json:
        if self._spoken:
            return {"type": "audio", "transcript": text}
        return {"type": "text", "text": text}

    def _content(self) -> Json:
        if self._spoken:
            return {"type": "output_audio", "transcript": self._text}
        return {"type": "output_text", "text": self._text}

    def _item(self, status: str, content: list[Json]) -> Json:
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _response(self, status: str, output: list[Json]) -> Json:
        settings = self._settings
        return {
            "object": "realtime.response",
            "id": self.response_id,
            "status": status,
            "status_details": None,
            "output": output,
            "output_modalities": [settings.modality],
            "max_output_tokens": settings.max_output_tokens,
            "audio": {
                "output": {
                    "format": {"type": "audio/pcm", "rate": settings.output_rate},
                    "voice": settings.voice or "alba",
                }
            },
            "usage": None,
        }


def _usage(usage: Usage) -> Json:
    """Tokens of the language model; audio is not counted in tokens."""
    given, made = usage.prompt_token_count, usage.completion_token_count
    cached = usage.cached_token_count
    return {
        "total_tokens": given + made,
        "input_tokens": given,
        "output_tokens": made,
        "input_token_details": {
            "text_tokens": given,
            "audio_tokens": 0,
            "cached_tokens": cached,
            "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0},
        },
        "output_token_details": {"text_tokens": made, "audio_tokens": 0},
    }
