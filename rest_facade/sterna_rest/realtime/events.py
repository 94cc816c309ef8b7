"""Events of the core's conversation as those of OpenAI's Realtime API."""

from __future__ import annotations

import uuid
from collections import deque
from typing import Any

from sterna.v1.error_reason_pb2 import ErrorReason
from sterna.v1.recognition_pb2 import VoiceActivity
from sterna.v1.speech_pb2 import ConverseResponse, Interrupted, TurnFailed
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import error_type
from sterna_rest.errors.from_core import reason_error
from sterna_rest.realtime.responses import Json, RealtimeResponse
from sterna_rest.realtime.session import SessionSettings, realtime_parameter


class RealtimeEvents:
    """Turns what the core tells into events. One instance serves one connection.

    Spoken turns get an item when they begin, or where the client commits them; their texts come
    later, in the same order.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self._session_id = new_id("sess")
        self._configured = False
        self._proposed: deque[SessionSettings] = deque([settings])
        self._last_item: str | None = None
        self._speaking: str | None = None
        self._unwritten: deque[str] = deque()
        self._heard = ""
        self._segments = 0.0
        self.response: RealtimeResponse | None = None
        """The answer in progress."""
        self.asked: deque[SessionSettings] = deque()
        """Settings of answers that were asked for and did not begin yet."""
        self._spoken_item: str | None = None
        self.cancelled = False
        """The client asked for the answer in progress to stop."""

    def propose(self, settings: SessionSettings) -> None:
        """The core was sent these settings; it will say whether it takes them."""
        self._proposed.append(settings)

    @property
    def newest(self) -> SessionSettings:
        """The settings that were sent last."""
        return self._proposed[-1] if self._proposed else self.settings

    @property
    def spoken_item(self) -> str | None:
        """The item of the last answer."""
        return self._spoken_item

    def committed(self) -> list[Json]:
        """The client ended the turn."""
        self._speaking = None
        return self._commit(new_id("item"))

    def created(self, item: Json) -> list[Json]:
        """The client added an item."""
        return self._added(item)

    def take(self, event: ConverseResponse) -> list[Json]:
        """What the client is told of an event."""
        match event.WhichOneof("event"):
            case "configured":
                return self._on_configured(event)
            case "voice_activity":
                return self._on_voice_activity(event.voice_activity)
            case "interim":
                return self._heard_more(event.interim.text)
            case "segment":
                self._segments += event.segment.end_offset.ToMilliseconds() / 1000 - (
                    event.segment.start_offset.ToMilliseconds() / 1000
                )
                return []
            case "user_turn":
                return self._on_user_turn(event.user_turn.text)
            case "answer_started":
                return self._on_answer(event.answer_started.response_id)
            case "answer_delta" if self.response is not None and event.answer_delta.text:
                return self.response.text(event.answer_delta.text)
            case "audio" if self.response is not None:
                return self.response.audio(event.audio)
            case "interrupted":
                return self._on_interrupted(event.interrupted)
            case "turn_done" if self.response is not None:
                response, self.response = self.response, None
                return response.end("completed", usage=event.turn_done.usage)
            case "turn_failed":
                return self._on_failed(event.turn_failed)
            case _:
                return []

    def _on_configured(self, event: ConverseResponse) -> list[Json]:
        proposed = self._proposed.popleft()
        if event.configured.HasField("refused"):
            return [error_event(_failure(event.configured.refused))]
        self.settings = proposed
        kind = "session.updated" if self._configured else "session.created"
        self._configured = True
        return [{"type": kind, "session": proposed.json(self._session_id)}]

    def _on_voice_activity(self, activity: VoiceActivity) -> list[Json]:
        offset = activity.offset.ToMilliseconds()
        if activity.type == VoiceActivity.TYPE_BEGIN:
            self._speaking = new_id("item")
            self._heard = ""
            return [
                {
                    "type": "input_audio_buffer.speech_started",
                    "audio_start_ms": offset,
                    "item_id": self._speaking,
                }
            ]
        item_id, self._speaking = self._speaking or new_id("item"), None
        stopped = {
            "type": "input_audio_buffer.speech_stopped",
            "audio_end_ms": offset,
            "item_id": item_id,
        }
        return [stopped, *self._commit(item_id)]

    def _commit(self, item_id: str) -> list[Json]:
        self._unwritten.append(item_id)
        committed = {
            "type": "input_audio_buffer.committed",
            "item_id": item_id,
            "previous_item_id": self._last_item,
        }
        content = [{"type": "input_audio", "transcript": None}]
        return [committed, *self._added(_item(item_id, "user", content))]

    def _heard_more(self, text: str) -> list[Json]:
        """Interim texts, as far as they only grow; the end of the turn brings the true one."""
        item_id = self._unwritten[0] if self._unwritten else self._speaking
        if item_id is None or not text.startswith(self._heard) or text == self._heard:
            return []
        delta, self._heard = text[len(self._heard) :], text
        return [
            {
                "type": "conversation.item.input_audio_transcription.delta",
                "item_id": item_id,
                "content_index": 0,
                "delta": delta,
            }
        ]

    def _on_user_turn(self, text: str) -> list[Json]:
        if not self._unwritten:
            return []
        deltas = self._heard_more(text)
        seconds, self._segments, self._heard = self._segments, 0.0, ""
        return [
            *deltas,
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": self._unwritten.popleft(),
                "content_index": 0,
                "transcript": text,
                "usage": {"type": "duration", "seconds": round(seconds, 3)},
            },
        ]

    def _on_answer(self, response_id: str) -> list[Json]:
        settings = self.asked.popleft() if self.asked else self.settings
        self.cancelled = False
        self.response = RealtimeResponse(f"resp_{response_id}", new_id("item"), settings)
        previous, self._last_item = self._last_item, self.response.item_id
        self._spoken_item = self.response.item_id if settings.modality == "audio" else None
        return self.response.begin(previous)

    def _on_interrupted(self, interrupted: Interrupted) -> list[Json]:
        told: list[Json] = []
        if self.response is not None:
            reason = "client_cancelled" if self.cancelled else "turn_detected"
            told = self.response.end("cancelled", {"reason": reason})
            self.response = None
        if self._spoken_item is not None:
            told.append(
                {
                    "type": "conversation.item.truncated",
                    "item_id": self._spoken_item,
                    "content_index": 0,
                    "audio_end_ms": interrupted.played_duration.ToMilliseconds(),
                }
            )
        return told

    def _on_failed(self, failed: TurnFailed) -> list[Json]:
        error = _failure(failed)
        if failed.stage == TurnFailed.STAGE_RECOGNITION:
            items = [*self._unwritten, *([self._speaking] if self._speaking else [])]
            self._unwritten.clear()
            self._speaking = None
            told: list[Json] = [
                {
                    "type": "conversation.item.input_audio_transcription.failed",
                    "item_id": item_id,
                    "content_index": 0,
                    "error": _fields(error),
                }
                for item_id in items
            ]
            return told or [error_event(error)]
        if failed.stage == TurnFailed.STAGE_ANSWER:
            # If it did not even begin, whoever waits for it hears of its end all the same.
            begun = [] if self.response else self._on_answer(uuid.uuid4().hex)
            assert self.response is not None
            response, self.response = self.response, None
            details = {"error": {"type": error_type(error.status_code), "code": error.code}}
            return [*begun, error_event(error), *response.end("failed", details)]
        if failed.field.startswith("config") and self.asked:
            self.asked.popleft()
        return [error_event(error)]

    def _added(self, item: Json) -> list[Json]:
        previous, self._last_item = self._last_item, item["id"]
        told = {"previous_item_id": previous, "item": item}
        return [
            {"type": "conversation.item.added", **told},
            {"type": "conversation.item.done", **told},
        ]


def error_event(error: ApiError, event_id: str | None = None) -> Json:
    """An error; `event_id` is that of the client's event at fault."""
    return {"type": "error", "error": {**_fields(error), "event_id": event_id}}


def message_item(item_id: str, role: str, texts: list[str]) -> Json:
    """A message of the client."""
    kind = "output_text" if role == "assistant" else "input_text"
    return _item(item_id, role, [{"type": kind, "text": text} for text in texts])


def new_id(prefix: str) -> str:
    """A name that nothing else has."""
    return f"{prefix}_{uuid.uuid4().hex}"


def _item(item_id: str, role: str, content: list[dict[str, Any]]) -> Json:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": role,
        "content": content,
    }


def _fields(error: ApiError) -> Json:
    return {
        "type": error_type(error.status_code),
        "code": error.code,
        "message": error.message,
        "param": error.param,
    }


def _failure(failed: TurnFailed) -> ApiError:
    reason = ErrorReason.Name(failed.reason).removeprefix("ERROR_REASON_")
    return reason_error(reason, failed.message, failed.field, realtime_parameter)
