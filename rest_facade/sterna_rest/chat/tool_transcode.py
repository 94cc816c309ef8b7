"""Tools and calls of tools ↔ protocol. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from sterna.v1 import chat_pb2
from sterna.v1.generation_event_pb2 import ToolCallDelta
from sterna_rest.chat.tool_schemas import FunctionTool, MessageToolCall, NamedTool, ToolMode
from sterna_rest.errors.api_error import missing
from sterna_rest.generation.transcode import json_string
from sterna_rest.generation.unsupported import unsupported

MODES = {
    "none": chat_pb2.ToolChoice.MODE_NONE,
    "auto": chat_pb2.ToolChoice.MODE_AUTO,
    "required": chat_pb2.ToolChoice.MODE_REQUIRED,
}

# HTTP clients nest under `function` what the protocol has beside it.
_NESTED = re.compile(
    r"^(tools\[\d+\]|messages\[\d+\]\.tool_calls\[\d+\])\.(name|arguments|parameters)(_schema)?"
)


def protocol_tools(tools: Sequence[FunctionTool]) -> Iterable[chat_pb2.Tool]:
    """The tools on offer. Raises `ApiError` for one that is no function."""
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if tool.type != "function":
            raise unsupported(f"{where}.type", f"a tool of type {tool.type!r} is")
        if tool.function is None:
            raise missing(f"{where}.function")
        function = tool.function
        yield protocol_tool(
            function.name, function.description, function.parameters, function.strict
        )


def protocol_tool(
    name: str, description: str | None, schema: dict[str, Any] | None, strict: bool | None
) -> chat_pb2.Tool:
    """One function on offer; without a schema it takes no arguments."""
    return chat_pb2.Tool(
        name=name,
        description=description or "",
        parameters_schema="" if schema is None else to_json(schema).decode(),
        strict=bool(strict),
    )


def protocol_choice(choice: ToolMode | NamedTool) -> chat_pb2.ToolChoice:
    """Whether tools may or must be called. Raises `ApiError` for what cannot be chosen."""
    if isinstance(choice, str):
        return chat_pb2.ToolChoice(mode=MODES[choice])
    if choice.type != "function":
        raise unsupported("tool_choice.type", f"a choice of type {choice.type!r} is")
    if choice.function is None:
        raise missing("tool_choice.function")
    return chat_pb2.ToolChoice(mode=chat_pb2.ToolChoice.MODE_NAMED, tool_name=choice.function.name)


def protocol_calls(calls: Sequence[MessageToolCall]) -> Iterable[chat_pb2.ToolCall]:
    """The calls that the assistant made earlier."""
    for call in calls:
        yield chat_pb2.ToolCall(
            id=call.id, name=call.function.name, arguments=call.function.arguments
        )


def tool_parameter(name: str) -> str:
    """`tools[0].name` as callers know it: `tools[0].function.name`. Other names stay."""
    if name == "tool_choice.tool_name":
        return "tool_choice.function.name"
    return _NESTED.sub(r"\1.function.\2", name)


def call_json(call: chat_pb2.ToolCall) -> dict[str, Any]:
    """A call of an answer that was not streamed."""
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def call_delta_json(piece: ToolCallDelta) -> str:
    """A piece of a call, as JSON text."""
    arguments = f'"arguments":{json_string(piece.arguments)}}}}}'
    if not piece.id:
        return f'{{"index":{piece.index},"function":{{{arguments}'
    return (
        f'{{"index":{piece.index},"id":{json_string(piece.id)},"type":"function",'
        f'"function":{{"name":{json_string(piece.name)},{arguments}'
    )
