"""Tools of `/v1/messages` ↔ protocol. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from sterna.v1 import chat_pb2
from sterna_rest.chat.tool_transcode import MODES, protocol_tool
from sterna_rest.chat.transcode import ROLES, text_message
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import missing
from sterna_rest.generation.unsupported import unsupported
from sterna_rest.messages.schemas import Block, CountRequest, ToolDefinition

_MODES = MODES | {"any": MODES["required"]}


def add_tools(body: CountRequest, chat: chat_pb2.ChatPrompt) -> None:
    """The tools on offer, and the choice among them. Raises `ApiError` for other kinds."""
    chat.tools.extend(_tools(body.tools or ()))
    choice = body.tool_choice
    if choice is None:
        return
    if choice.type == "tool":
        if not choice.name:
            raise missing("tool_choice.name")
        chat.tool_choice.mode = chat_pb2.ToolChoice.MODE_NAMED
        chat.tool_choice.tool_name = choice.name
    else:
        chat.tool_choice.mode = _MODES[choice.type]
    if choice.disable_parallel_tool_use is not None:
        chat.parallel_tool_calls = not choice.disable_parallel_tool_use


def _tools(tools: Sequence[ToolDefinition]) -> Iterable[chat_pb2.Tool]:
    for index, tool in enumerate(tools):
        if tool.type not in (None, "custom"):
            raise unsupported(f"tools[{index}].type", f"a tool of type {tool.type!r} is")
        yield protocol_tool(tool.name, tool.description, tool.input_schema, tool.strict)


def turn_messages(role: str, blocks: Sequence[Block], where: str) -> Iterable[chat_pb2.ChatMessage]:
    """A turn of blocks as the protocol has it: results of tools are messages of their own, which
    come before what the user says beside them. Raises `ApiError` for blocks that cannot be read."""
    turn = chat_pb2.ChatMessage(role=ROLES[role])
    for index, block in enumerate(blocks):
        place = f"{where}[{index}]"
        match block.type:
            case "text":
                if block.text is None:
                    raise missing(f"{place}.text")
                turn.content.add(text=block.text)
            case "tool_use" if role == "assistant":
                turn.tool_calls.append(_call(block, place))
            case "tool_result" if role == "user":
                yield _result(block, place)
            case _:
                raise unsupported(f"{place}.type", f"content of type {block.type!r} is")
    if turn.content or turn.tool_calls:
        yield turn


def _call(block: Block, where: str) -> chat_pb2.ToolCall:
    for name in ("id", "name"):
        if not getattr(block, name):
            raise missing(f"{where}.{name}")
    return chat_pb2.ToolCall(
        id=block.id or "", name=block.name or "", arguments=to_json(block.input or {}).decode()
    )


def _result(block: Block, where: str) -> chat_pb2.ChatMessage:
    if not block.tool_use_id:
        raise missing(f"{where}.tool_use_id")
    message = text_message("tool", _result_text(block, where))
    message.tool_call_id = block.tool_use_id
    return message


def _result_text(block: Block, where: str) -> str:
    content = block.content
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    place = f"{where}.content"
    if not isinstance(content, list):
        raise ApiError(
            400, f"`{place}` must be text or a list of blocks.", code="invalid_value", param=place
        )
    texts = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise unsupported(f"{place}[{index}]", f"content of type {kind!r} is")
        texts.append(part["text"])
    return "\n".join(texts)


def use_block(id: str, name: str, arguments: str) -> dict[str, Any]:
    """A call as a block; one that was cut off has no input."""
    try:
        parsed = json.loads(arguments)
    except ValueError:
        parsed = {}
    parsed = parsed if isinstance(parsed, dict) else {}
    return {"type": "tool_use", "id": id, "name": name, "input": parsed}
