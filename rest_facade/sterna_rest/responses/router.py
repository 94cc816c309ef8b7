"""`POST /v1/responses`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from sterna_rest.core import CoreLink, core_link
from sterna_rest.errors import ApiError
from sterna_rest.generation.answer import streamed_answer, whole_answer
from sterna_rest.generation.call import Generator
from sterna_rest.generation.unsupported import RESPONSE_FIELDS, refuse_unsupported
from sterna_rest.http.openapi import answer_documentation
from sterna_rest.http.strict_json import JsonRoute
from sterna_rest.responses.references import with_references
from sterna_rest.responses.schemas import (
    REQUEST_EXAMPLES,
    RESPONSE_EXAMPLE,
    STREAM_EXAMPLE,
    ResponseBody,
    ResponseRequest,
)
from sterna_rest.responses.stream import ResponseEvents
from sterna_rest.responses.transcode import response_body, response_parameter, response_spec

router = APIRouter(tags=["responses"], route_class=JsonRoute)


@router.post(
    "/v1/responses",
    operation_id="createResponse",
    summary="Answer a conversation, the newer way",
    response_model=None,
    responses=answer_documentation(
        ResponseBody,
        "the typed events of the Responses API; the last is `response.completed` or "
        "`response.incomplete`.",
        RESPONSE_EXAMPLE,
        STREAM_EXAMPLE,
    ),
)
async def create_response(
    request: Request,
    body: Annotated[ResponseRequest, Body(openapi_examples=REQUEST_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """The model's answer to `input`, after that of `previous_response_id`. It is stored unless
    `store` is false."""
    refuse_unsupported(body.model_extra or {}, RESPONSE_FIELDS)
    body = await with_references(request, core, body)
    spec = response_spec(body)
    generator = Generator(core, request, lambda field, _: response_parameter(body, field))
    try:
        if body.stream:
            events = ResponseEvents(body)
            return await streamed_answer(request, core.options, body, generator, [spec], events)
        return await whole_answer(
            request,
            core.options,
            body,
            generator,
            [spec],
            lambda answers: response_body(body, answers[0]),
        )
    except ApiError as error:
        if error.code != "response_not_found":
            raise
        raise _previous_not_found(body) from None


def _previous_not_found(body: ResponseRequest) -> ApiError:
    """OpenAI's status and code for a conversation that cannot be continued."""
    shown = (body.previous_response_id or "")[:64]
    return ApiError(
        400,
        f"The stored response {shown!r}, or one that it follows, is not there any more; send the "
        "whole conversation as `input`.",
        code="previous_response_not_found",
        param="previous_response_id",
    )
