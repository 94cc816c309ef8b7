"""The calls of InferenceService that deal with stored conversations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sterna import types
from sterna._calls.call import PAGE_SIZE, Call, Plan, call
from sterna._convert import from_message
from sterna._options import Messages, chat_prompt
from sterna.v1 import chat_pb2, inference_pb2, session_pb2


def create_session(
    session_id: str = "",
    *,
    model: str = "",
    messages: Messages = (),
    ttl: timedelta | None = None,
    timeout: float | None = None,
) -> Call[types.Session]:
    """Start a conversation that the server keeps. An empty id: the server makes one."""
    request = inference_pb2.CreateSessionRequest(
        session_id=session_id, model_id=model, messages=chat_prompt(messages).messages
    )
    if ttl is not None:
        request.ttl.FromTimedelta(ttl)
    return call(
        "InferenceService/CreateSession",
        request,
        inference_pb2.CreateSessionResponse,
        lambda reply: from_message(types.Session, reply.session),
        timeout,
    )


def get_session(session_id: str, *, timeout: float | None = None) -> Call[types.Conversation]:
    """A kept conversation, with its messages."""
    return call(
        "InferenceService/GetSession",
        inference_pb2.GetSessionRequest(session_id=session_id, include_messages=True),
        inference_pb2.GetSessionResponse,
        lambda reply: types.Conversation(
            from_message(types.Session, reply.session), messages_of(reply.messages)
        ),
        timeout,
    )


def messages_of(messages: Iterable[chat_pb2.ChatMessage]) -> tuple[types.Message, ...]:
    """Turns as they were said."""
    return tuple(map(_message, messages))


def _message(message: chat_pb2.ChatMessage) -> types.Message:
    roles: dict[int, types.RoleName] = {
        chat_pb2.ROLE_SYSTEM: "system",
        chat_pb2.ROLE_DEVELOPER: "developer",
        chat_pb2.ROLE_USER: "user",
        chat_pb2.ROLE_ASSISTANT: "assistant",
        chat_pb2.ROLE_TOOL: "tool",
    }
    return types.Message(
        role=roles[message.role],
        content="".join(part.text for part in message.content),
        name=message.name,
        tool_calls=tuple(from_message(types.ToolCall, call) for call in message.tool_calls),
        tool_call_id=message.tool_call_id,
    )


def list_sessions(*, timeout: float | None = None) -> Plan[tuple[types.Session, ...]]:
    """All conversations that the server keeps for this caller, last used first."""
    found: list[session_pb2.Session] = []
    token = ""
    while True:
        page: inference_pb2.ListSessionsResponse = yield call(
            "InferenceService/ListSessions",
            inference_pb2.ListSessionsRequest(page_size=PAGE_SIZE, page_token=token),
            inference_pb2.ListSessionsResponse,
            lambda reply: reply,
            timeout,
        )
        found.extend(page.sessions)
        token = page.next_page_token
        if not token:
            return tuple(from_message(types.Session, session) for session in found)


def delete_session(session_id: str, *, timeout: float | None = None) -> Call[None]:
    """Forget a conversation."""
    return call(
        "InferenceService/DeleteSession",
        inference_pb2.DeleteSessionRequest(session_id=session_id),
        inference_pb2.DeleteSessionResponse,
        lambda reply: None,
        timeout,
    )
