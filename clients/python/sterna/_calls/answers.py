"""The calls of InferenceService that concern stored answers."""

from __future__ import annotations

from datetime import UTC

from sterna import types
from sterna._calls.call import Call, call
from sterna._calls.sessions import messages_of
from sterna._convert import from_message
from sterna.v1 import inference_pb2, stored_answer_pb2


def get_answer(
    response_id: str, *, timeout: float | None = None
) -> Call[tuple[types.StoredAnswer, ...]]:
    """A kept answer, the last, and before it those that it follows, oldest first."""
    return call(
        "InferenceService/GetAnswer",
        inference_pb2.GetAnswerRequest(response_id=response_id, include_previous=True),
        inference_pb2.GetAnswerResponse,
        lambda reply: tuple(map(_answer, (*reply.previous, reply.answer))),
        timeout,
    )


def delete_answer(response_id: str, *, timeout: float | None = None) -> Call[None]:
    """Forget a kept answer."""
    return call(
        "InferenceService/DeleteAnswer",
        inference_pb2.DeleteAnswerRequest(response_id=response_id),
        inference_pb2.DeleteAnswerResponse,
        lambda reply: None,
        timeout,
    )


def _answer(answer: stored_answer_pb2.StoredAnswer) -> types.StoredAnswer:
    return types.StoredAnswer(
        response_id=answer.response_id,
        previous_response_id=answer.previous_response_id,
        model_id=answer.model_id,
        create_time=answer.create_time.ToDatetime(UTC),
        expire_time=answer.expire_time.ToDatetime(UTC),
        messages=messages_of(answer.messages),
        choice=from_message(types.Choice, answer.choice),
        usage=from_message(types.Usage, answer.usage),
        document=answer.document,
    )
