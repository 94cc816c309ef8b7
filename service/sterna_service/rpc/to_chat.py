"""Conversations in requests as the inference package takes them: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import struct_pb2

from sterna.v1 import chat_pb2, inference_pb2
from sterna_service.errors import invalid, out_of_range
from sterna_service.inference import json_text
from sterna_service.inference.spec import ChatPrompt, Message, Tool, ToolCall, ToolMode

MOST_MESSAGES = 10_000
"""Of one request. More of them, however short, take a template longer than any answer."""

_ROLES = {
    chat_pb2.ROLE_SYSTEM: "system",
    chat_pb2.ROLE_DEVELOPER: "developer",
    chat_pb2.ROLE_USER: "user",
    chat_pb2.ROLE_ASSISTANT: "assistant",
    chat_pb2.ROLE_TOOL: "tool",
}

_MODES = {
    chat_pb2.ToolChoice.MODE_UNSPECIFIED: ToolMode.AUTO,
    chat_pb2.ToolChoice.MODE_AUTO: ToolMode.AUTO,
    chat_pb2.ToolChoice.MODE_NONE: ToolMode.NONE,
    chat_pb2.ToolChoice.MODE_REQUIRED: ToolMode.REQUIRED,
    chat_pb2.ToolChoice.MODE_NAMED: ToolMode.NAMED,
}


def chat_prompt(prompt: chat_pb2.ChatPrompt, field: str) -> ChatPrompt:
    """A conversation; `field` is where it stands in the request.

    Raises:
        ServiceError: A message is not valid.
    """
    mode = _MODES.get(prompt.tool_choice.mode)
    if mode is None:
        raise invalid(f"{field}.tool_choice.mode", "must be auto, none, required or named")
    return ChatPrompt(
        messages=_messages(prompt.messages, f"{field}.messages"),
        template_arguments=_object(prompt.template_arguments),
        continue_final_message=prompt.continue_final_message,
        tools=[
            Tool(tool.name, tool.description, tool.parameters_schema, tool.strict)
            for tool in prompt.tools
        ],
        tool_mode=mode,
        tool_name=prompt.tool_choice.tool_name,
        parallel_tool_calls=(
            prompt.parallel_tool_calls if prompt.HasField("parallel_tool_calls") else True
        ),
    )


def session_messages(request: inference_pb2.CreateSessionRequest) -> list[Message]:
    """What a new session begins with.

    Raises:
        ServiceError: A message is not valid.
    """
    return _messages(request.messages, "messages")


def _messages(messages: Sequence[chat_pb2.ChatMessage], field: str) -> list[Message]:
    if len(messages) > MOST_MESSAGES:
        raise out_of_range(field, f"at most {MOST_MESSAGES} messages", len(messages))
    return [message_of(message, f"{field}[{index}]") for index, message in enumerate(messages)]


def message_of(message: chat_pb2.ChatMessage, field: str) -> Message:
    """One message; `field` is where it stands in the request. Raises `ServiceError`."""
    role = _ROLES.get(message.role)
    if role is None:
        raise invalid(f"{field}.role", "is required: system, developer, user, assistant or tool")
    if message.tool_calls and role != "assistant":
        raise invalid(f"{field}.tool_calls", "are only valid on an assistant's message")
    if role == "tool" and not message.tool_call_id:
        raise invalid(f"{field}.tool_call_id", "is required: the id of the call that it answers")
    if role != "tool" and message.tool_call_id:
        raise invalid(f"{field}.tool_call_id", "is only valid on a tool's message")
    if not message.content and not message.tool_calls:
        raise invalid(f"{field}.content", "must have at least one part")
    return Message(
        role=role,
        content=_content(message.content, field),
        name=message.name,
        tool_calls=[
            _tool_call(call, f"{field}.tool_calls[{index}]")
            for index, call in enumerate(message.tool_calls)
        ],
        tool_call_id=message.tool_call_id,
    )


def _tool_call(call: chat_pb2.ToolCall, field: str) -> ToolCall:
    if not call.name:
        raise invalid(f"{field}.name", "is required: the tool that was called")
    try:
        # Some clients send an empty text for no arguments.
        arguments = json_text.parse(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise invalid(f"{field}.arguments", "must be a JSON object as text")
    return ToolCall(call.id, call.name, call.arguments or "{}")


def _content(parts: Sequence[chat_pb2.ContentPart], field: str) -> str:
    for index, part in enumerate(parts):
        if part.WhichOneof("part") != "text":
            raise invalid(f"{field}.content[{index}]", "must be text")
    return "".join(part.text for part in parts)


def _object(struct: struct_pb2.Struct) -> dict[str, Any]:
    return {key: _value(value) for key, value in struct.fields.items()}


def _value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            # Numbers travel as doubles, but templates compare and print whole ones as such.
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _object(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case _:
            return None
