"""`POST /v1/chat/completions`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from sterna_rest.chat.schemas import (
    REQUEST_EXAMPLES,
    RESPONSE_EXAMPLE,
    STREAM_EXAMPLE,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
)
from sterna_rest.chat.stream import ChatChunks
from sterna_rest.chat.transcode import chat_completion, chat_parameter, chat_spec
from sterna_rest.core import CoreLink, core_link
from sterna_rest.generation.answer import streamed_answer, whole_answer
from sterna_rest.generation.call import Generator
from sterna_rest.generation.unsupported import CHAT_FIELDS, refuse_unsupported
from sterna_rest.http.openapi import answer_documentation
from sterna_rest.http.strict_json import JsonRoute

router = APIRouter(tags=["chat"], route_class=JsonRoute)


@router.post(
    "/v1/chat/completions",
    operation_id="createChatCompletion",
    summary="Answer a conversation",
    response_model=None,
    responses=answer_documentation(ChatCompletion, ChatChunk, RESPONSE_EXAMPLE, STREAM_EXAMPLE),
)
async def create_chat_completion(
    request: Request,
    body: Annotated[ChatRequest, Body(openapi_examples=REQUEST_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """The model's answer to `messages`; with `stream`, as server-sent events while it is made."""
    refuse_unsupported(body.model_extra or {}, CHAT_FIELDS)
    spec = chat_spec(body)
    generator = Generator(core, request, lambda field, _: chat_parameter(body, field))
    if body.stream:
        encoder = ChatChunks(choice_count=body.n or 1, include_usage=body.wants_usage_chunk())
        return await streamed_answer(request, core.options, body, generator, [spec], encoder)
    return await whole_answer(
        request, core.options, body, generator, [spec], lambda answers: chat_completion(answers[0])
    )
