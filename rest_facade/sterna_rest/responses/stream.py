"""The events of a streamed response, as the bytes that go on the wire."""

from __future__ import annotations

from typing import Any

from sterna.v1.generation_event_pb2 import (
    ChoiceFinished,
    FinishReason,
    GenerationDelta,
    GenerationStarted,
    Usage,
)
from sterna_rest.chat.transcode import logprob_entry
from sterna_rest.errors import ApiError
from sterna_rest.generation.chunks import EventEncoder
from sterna_rest.http.sse import named_event
from sterna_rest.responses.schemas import ResponseRequest
from sterna_rest.responses.transcode import complete, envelope, message_item, text_part


class ResponseEvents(EventEncoder):
    """Turns the events of the core into those of this API. One instance serves one stream."""

    def __init__(self, body: ResponseRequest) -> None:
        self._body = body
        self._response: dict[str, Any] = {}
        self._place: dict[str, Any] = {}
        self._texts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._reason = FinishReason.FINISH_REASON_STOP
        self._next_number = 0

    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """The response, its one item, and the item's one part; all of them empty."""
        self._response = envelope(
            self._body, started.response_id, started.create_time.seconds, started.model_id
        )
        item = message_item(self._response["id"], "in_progress")
        self._place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        return (
            self._event("response.created", response=self._response)
            + self._event("response.in_progress", response=self._response)
            + self._event("response.output_item.added", output_index=0, item=item)
            + self._event("response.content_part.added", **self._place, part=text_part("", []))
        )

    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More text; nothing when there is neither text nor a log-probability."""
        if not delta.text and not delta.logprobs:
            return b""
        entries = [logprob_entry(entry) for entry in delta.logprobs]
        self._texts.append(delta.text)
        self._logprobs.extend(entries)
        return self._event(
            "response.output_text.delta", **self._place, delta=delta.text, logprobs=entries
        )

    def finished(self, prompt_index: int, finished: ChoiceFinished) -> bytes:
        """Nothing yet: the end needs the usage."""
        self._reason = finished.finish_reason
        return b""

    def end(self, usage: Usage) -> bytes:
        """Part, item and response, complete."""
        text = "".join(self._texts)
        complete(self._response, text, self._logprobs, self._reason, usage)
        item = self._response["output"][0]
        return (
            self._event(
                "response.output_text.done", **self._place, text=text, logprobs=self._logprobs
            )
            + self._event("response.content_part.done", **self._place, part=item["content"][0])
            + self._event("response.output_item.done", output_index=0, item=item)
            + self._event(f"response.{self._response['status']}", response=self._response)
        )

    def error(self, error: ApiError) -> bytes:
        """The error as this API has it, and beside it as every other stream has it."""
        told = error.envelope()
        fields = {name: told[name] for name in ("code", "message", "param")}
        return self._event("error", **fields, error=told)

    def _event(self, kind: str, **fields: Any) -> bytes:
        number = self._next_number
        self._next_number += 1
        return named_event(kind, {"type": kind, "sequence_number": number, **fields})
