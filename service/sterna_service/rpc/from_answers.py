"""Stored answers as messages of the protocol: pure functions."""

from __future__ import annotations

from sterna.v1 import stored_answer_pb2
from sterna_service.inference.sessions import message_of
from sterna_service.rpc.from_events import timestamp
from sterna_service.rpc.from_sessions import chat_message
from sterna_service.state.answers import AnswerRecord


def stored_answer(record: AnswerRecord) -> stored_answer_pb2.StoredAnswer:
    """A question and its answer."""
    message = stored_answer_pb2.StoredAnswer.FromString(record.result)
    message.response_id = record.response_id
    message.previous_response_id = record.previous_response_id
    message.model_id = record.model_id
    message.create_time.CopyFrom(timestamp(record.create_time))
    message.expire_time.CopyFrom(timestamp(record.expire_time))
    message.messages.extend(chat_message(message_of(each)) for each in record.messages)
    message.document = record.document
    return message
