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
from sterna_rest.generation.model_name import answering_model
from sterna_rest.http.sse import named_event
from sterna_rest.responses.schemas import ResponseRequest
from sterna_rest.responses.tools import call_item
from sterna_rest.responses.transcode import complete, envelope, message_item, text_part


class ResponseEvents(EventEncoder):
    """Turns the events of the core into those of this API. One instance serves one stream.

    An answer is a sequence of items, of which the last is open: text, or one call.
    """

    def __init__(self, body: ResponseRequest) -> None:
        self._body = body
        self._response: dict[str, Any] = {}
        self._items: list[dict[str, Any]] = []
        self._open = ""
        self._reason = FinishReason.FINISH_REASON_STOP
        self._next_number = 0

    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """The response, which is empty."""
        self._response = envelope(
            self._body, started.response_id, started.create_time.seconds, answering_model(started)
        )
        return self._event("response.created", response=self._response) + self._event(
            "response.in_progress", response=self._response
        )

    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More text or pieces of calls; nothing when there are neither, nor log-probabilities."""
        events = []
        if delta.text or (delta.logprobs and not delta.tool_calls):
            entries = [logprob_entry(entry) for entry in delta.logprobs]
            events.append(self._open_text())
            part = self._items[-1]["content"][0]
            part["text"] += delta.text
            part["logprobs"] += entries
            events.append(
                self._event(
                    "response.output_text.delta",
                    **self._place(),
                    content_index=0,
                    delta=delta.text,
                    logprobs=entries,
                )
            )
        for piece in delta.tool_calls:
            if piece.id:
                events.append(self._open_call(piece.id, piece.name))
            if piece.arguments:
                self._items[-1]["arguments"] += piece.arguments
                events.append(
                    self._event(
                        "response.function_call_arguments.delta",
                        **self._place(),
                        delta=piece.arguments,
                    )
                )
        return b"".join(events)

    def finished(self, prompt_index: int, finished: ChoiceFinished) -> bytes:
        """Nothing yet: the end needs the usage."""
        self._reason = finished.finish_reason
        return b""

    def end(self, usage: Usage) -> bytes:
        """The last item and the response, complete. An answer without items has an empty text."""
        opened = b"" if self._items else self._open_text()
        complete(self._response, self._items, self._reason, usage)
        return (
            opened
            + self._close(self._items[-1]["status"])
            + self._event(f"response.{self._response['status']}", response=self._response)
        )

    def _open_text(self) -> bytes:
        if self._open == "text":
            return b""
        closed = self._close("completed")
        item = message_item(self._response["id"], "in_progress")
        if number := len(self._items):
            item["id"] += f"_{number}"
        opened = self._add(item)
        item["content"] = [text_part("", [])]
        self._open = "text"
        return (
            closed
            + opened
            + self._event(
                "response.content_part.added",
                **self._place(),
                content_index=0,
                part=text_part("", []),
            )
        )

    def _open_call(self, id: str, name: str) -> bytes:
        closed = self._close("completed")
        self._open = "call"
        return closed + self._add(call_item(self._response["id"], id, name, "", "in_progress"))

    def _add(self, item: dict[str, Any]) -> bytes:
        self._items.append(item)
        index = len(self._items) - 1
        return self._event("response.output_item.added", output_index=index, item=item)

    def _close(self, status: str) -> bytes:
        """The end of the open item, if there is one."""
        if not self._open:
            return b""
        item = self._items[-1]
        item["status"] = status
        if self._open == "text":
            part = item["content"][0]
            ended = self._event(
                "response.output_text.done",
                **self._place(),
                content_index=0,
                text=part["text"],
                logprobs=part["logprobs"],
            ) + self._event(
                "response.content_part.done", **self._place(), content_index=0, part=part
            )
        else:
            ended = self._event(
                "response.function_call_arguments.done",
                **self._place(),
                name=item["name"],
                arguments=item["arguments"],
            )
        self._open = ""
        index = len(self._items) - 1
        return ended + self._event("response.output_item.done", output_index=index, item=item)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1}

    def error(self, error: ApiError) -> bytes:
        """The error as this API has it, and beside it as every other stream has it."""
        told = error.envelope()
        fields = {name: told[name] for name in ("code", "message", "param")}
        return self._event("error", **fields, error=told)

    def _event(self, kind: str, **fields: Any) -> bytes:
        number = self._next_number
        self._next_number += 1
        return named_event(kind, {"type": kind, "sequence_number": number, **fields})
