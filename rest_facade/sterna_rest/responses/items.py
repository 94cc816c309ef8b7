"""What a stored response answered, as items. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sterna.v1 import chat_pb2
from sterna.v1.inference_pb2 import GetAnswerResponse
from sterna.v1.stored_answer_pb2 import StoredAnswer
from sterna_rest.chat.transcode import ROLES
from sterna_rest.errors import ApiError
from sterna_rest.responses.tools import call_item
from sterna_rest.responses.transcode import stored_body

_NAMES = {value: name for name, value in ROLES.items()}


def input_items(answer: GetAnswerResponse) -> list[dict[str, Any]]:
    """Everything that stood before a response, oldest first."""
    items: list[dict[str, Any]] = []
    for previous in answer.previous:
        items += own_items(previous)
    return [*items, *_asked(answer.answer)]


def own_items(answer: StoredAnswer) -> list[dict[str, Any]]:
    """What a response was asked, and its output."""
    return [*_asked(answer), *stored_body(answer)["output"]]


def page_of_items(
    items: list[dict[str, Any]], after: str | None, limit: int, order: str
) -> dict[str, Any]:
    """At most `limit` items behind the one that `after` names. Raises `ApiError` if none does."""
    if order == "desc":
        items = items[::-1]
    if after is not None:
        places = [index for index, item in enumerate(items) if item["id"] == after]
        if not places:
            raise ApiError(
                400,
                "`after` must be the id of an item of this response; leave it out to begin.",
                code="invalid_value",
                param="after",
            )
        items = items[places[0] + 1 :]
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > limit,
    }


def _asked(answer: StoredAnswer) -> Iterator[dict[str, Any]]:
    for index, item in enumerate(_items(answer)):
        if "id" not in item:
            prefix = "fco" if item["type"] == "function_call_output" else "msg"
            item = {"id": f"{prefix}_{answer.response_id}_in{index}", **item}
        yield item


def _items(answer: StoredAnswer) -> Iterator[dict[str, Any]]:
    for message in answer.messages:
        text = "".join(part.text for part in message.content)
        if message.role == chat_pb2.ROLE_TOOL:
            yield {
                "type": "function_call_output",
                "call_id": message.tool_call_id,
                "output": text,
                "status": "completed",
            }
            continue
        role = _NAMES[message.role]
        if text or not message.tool_calls:
            content: dict[str, Any] = {"type": "input_text", "text": text}
            if role == "assistant":
                content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            yield {"type": "message", "role": role, "status": "completed", "content": [content]}
        for call in message.tool_calls:
            yield call_item(answer.response_id, call.id, call.name, call.arguments, "completed")
