"""Stored conversations as messages of the protocol, and their page tokens: pure functions."""

from __future__ import annotations

from datetime import datetime

from sterna.v1 import chat_pb2, session_pb2
from sterna_service.errors import invalid
from sterna_service.inference.spec import Message
from sterna_service.rpc.from_events import timestamp
from sterna_service.rpc.pages import key_in, token_of
from sterna_service.state.moments import microseconds, moment
from sterna_service.state.sessions import SessionRecord

_ROLES = {
    "system": chat_pb2.ROLE_SYSTEM,
    "developer": chat_pb2.ROLE_DEVELOPER,
    "user": chat_pb2.ROLE_USER,
    "assistant": chat_pb2.ROLE_ASSISTANT,
    "tool": chat_pb2.ROLE_TOOL,
}


def session_message(record: SessionRecord) -> session_pb2.Session:
    """A conversation without its messages."""
    return session_pb2.Session(
        session_id=record.session_id,
        model_id=record.model_id,
        create_time=timestamp(record.create_time),
        update_time=timestamp(record.update_time),
        expire_time=timestamp(record.expire_time),
        message_count=record.message_count,
    )


def chat_message(message: Message) -> chat_pb2.ChatMessage:
    """One turn."""
    return chat_pb2.ChatMessage(
        role=_ROLES[message.role],
        content=[chat_pb2.ContentPart(text=message.content)],
        name=message.name,
        tool_calls=[
            chat_pb2.ToolCall(id=call.id, name=call.name, arguments=call.arguments)
            for call in message.tool_calls
        ],
        tool_call_id=message.tool_call_id,
    )


def session_page_token(last: SessionRecord) -> str:
    """Names the place behind a conversation in the list of all."""
    return token_of(f"{microseconds(last.update_time)} {last.row_id}")


def session_page_start(token: str) -> tuple[datetime, str] | None:
    """The place that a page token names; None for the empty one.

    Raises:
        ServiceError: The token was not made here.
    """
    if not token:
        return None
    number, _, row = key_in(token).partition(" ")
    try:
        return moment(int(number)), row
    except (ValueError, OverflowError):
        raise invalid("page_token", "must be one that a previous page gave") from None
