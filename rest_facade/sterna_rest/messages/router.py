"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from sterna_rest.core import CoreLink, core_link
from sterna_rest.generation.answer import streamed_answer, whole_answer
from sterna_rest.generation.call import Generator
from sterna_rest.generation.unsupported import MESSAGE_FIELDS, refuse_unsupported
from sterna_rest.http.openapi import answer_documentation, error_documentation, example_of
from sterna_rest.http.strict_json import JsonRoute
from sterna_rest.messages.schemas import (
    COUNT_EXAMPLES,
    REQUEST_EXAMPLES,
    RESPONSE_EXAMPLE,
    STREAM_EXAMPLE,
    CountBody,
    CountRequest,
    MessageBody,
    MessageErrorBody,
    MessageRequest,
)
from sterna_rest.messages.stream import MessageEvents
from sterna_rest.messages.transcode import (
    count_request,
    message_body,
    message_parameter,
    message_spec,
)

router = APIRouter(tags=["messages"], route_class=JsonRoute)


@router.post(
    "/v1/messages",
    operation_id="createMessage",
    summary="Answer a conversation, for clients of Anthropic's API",
    response_model=None,
    responses=answer_documentation(
        MessageBody,
        "the events of Anthropic's API, from `message_start` to `message_stop`.",
        RESPONSE_EXAMPLE,
        STREAM_EXAMPLE,
        MessageErrorBody,
    ),
)
async def create_message(
    request: Request,
    body: Annotated[MessageRequest, Body(openapi_examples=REQUEST_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """The model's answer to `messages`; with `stream`, as server-sent events while it is made."""
    refuse_unsupported(body.model_extra or {}, MESSAGE_FIELDS)
    spec = message_spec(body)
    generator = Generator(core, request, lambda field, _: message_parameter(body, field))
    if body.stream:
        events = MessageEvents()
        return await streamed_answer(request, core.options, body, generator, [spec], events)
    return await whole_answer(
        request, core.options, body, generator, [spec], lambda answers: message_body(answers[0])
    )


@router.post(
    "/v1/messages/count_tokens",
    operation_id="countMessageTokens",
    summary="Count the tokens of a conversation",
    responses=example_of({"input_tokens": 12})
    | error_documentation(400, 404, 413, 415, 422, 500, 503, 504, body=MessageErrorBody),
)
async def count_tokens(
    request: Request,
    body: Annotated[CountRequest, Body(openapi_examples=COUNT_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> CountBody:
    """How many tokens the same conversation has as a prompt."""
    refuse_unsupported(body.model_extra or {}, MESSAGE_FIELDS)
    response = await core.control(
        request,
        core.inference.Tokenize,
        count_request(body),
        lambda field: message_parameter(body, field),
    )
    return CountBody(input_tokens=len(response.token_ids))
