"""Tools of `/v1/responses` ↔ protocol. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sterna.v1 import chat_pb2
from sterna_rest.chat.tool_transcode import MODES, protocol_tool
from sterna_rest.chat.transcode import ROLES
from sterna_rest.errors.api_error import missing
from sterna_rest.generation.unsupported import unsupported
from sterna_rest.responses.schemas import FlatTool, InputItem, ResponseRequest


def add_tools(body: ResponseRequest, chat: chat_pb2.ChatPrompt) -> None:
    """The tools on offer, and the choice among them. Raises `ApiError` for other kinds."""
    chat.tools.extend(_tools(body.tools or ()))
    choice = body.tool_choice
    if isinstance(choice, str):
        chat.tool_choice.mode = MODES[choice]
    elif choice is not None:
        if choice.type != "function":
            raise unsupported("tool_choice.type", f"a choice of type {choice.type!r} is")
        if not choice.name:
            raise missing("tool_choice.name")
        chat.tool_choice.mode = chat_pb2.ToolChoice.MODE_NAMED
        chat.tool_choice.tool_name = choice.name
    if body.parallel_tool_calls is not None:
        chat.parallel_tool_calls = body.parallel_tool_calls


def _tools(tools: Sequence[FlatTool]) -> Iterable[chat_pb2.Tool]:
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if tool.type != "function":
            raise unsupported(f"{where}.type", f"a tool of type {tool.type!r} is")
        if tool.name is None:
            raise missing(f"{where}.name")
        yield protocol_tool(tool.name, tool.description, tool.parameters, tool.strict)


def call_message(item: InputItem, where: str) -> chat_pb2.ChatMessage:
    """A call that the assistant made. Raises `ApiError` when something of it is missing."""
    for name in ("call_id", "name"):
        if not getattr(item, name):
            raise missing(f"{where}.{name}")
    call = chat_pb2.ToolCall(
        id=item.call_id or "", name=item.name or "", arguments=item.arguments or "{}"
    )
    return chat_pb2.ChatMessage(role=ROLES["assistant"], tool_calls=[call])


def joined_calls(messages: Sequence[chat_pb2.ChatMessage]) -> list[chat_pb2.ChatMessage]:
    """Calls that follow one another, or the assistant's text, belong to one turn."""
    joined: list[chat_pb2.ChatMessage] = []
    for message in messages:
        last = joined[-1] if joined else None
        if (
            last is not None
            and message.tool_calls
            and message.role == last.role == ROLES["assistant"]
        ):
            last.tool_calls.extend(message.tool_calls)
        else:
            joined.append(message)
    return joined


def call_item(response_id: str, id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    """A call as an item of a response, whose id is part of its own."""
    return {
        "id": f"fc_{response_id.removeprefix('resp_')}_{id.removeprefix('call_')}",
        "type": "function_call",
        "call_id": id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }
