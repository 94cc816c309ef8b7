"""`POST /v1/completions`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from sterna_rest.completions.schemas import (
    REQUEST_EXAMPLES,
    RESPONSE_EXAMPLE,
    STREAM_EXAMPLE,
    Completion,
    CompletionRequest,
)
from sterna_rest.completions.stream import CompletionChunks
from sterna_rest.completions.transcode import completion, completion_parameter, completion_specs
from sterna_rest.core import CoreLink, core_link
from sterna_rest.generation.answer import streamed_answer, whole_answer
from sterna_rest.generation.call import Generator
from sterna_rest.generation.unsupported import COMPLETION_FIELDS, refuse_unsupported
from sterna_rest.http.openapi import answer_documentation
from sterna_rest.http.strict_json import JsonRoute

router = APIRouter(tags=["completions"], route_class=JsonRoute)


@router.post(
    "/v1/completions",
    operation_id="createCompletion",
    summary="Continue text or tokens",
    response_model=None,
    responses=answer_documentation(Completion, Completion, RESPONSE_EXAMPLE, STREAM_EXAMPLE),
)
async def create_completion(
    request: Request,
    body: Annotated[CompletionRequest, Body(openapi_examples=REQUEST_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """What follows `prompt`, without a chat template and without a harness."""
    refuse_unsupported(body.model_extra or {}, COMPLETION_FIELDS)
    specs = completion_specs(body)
    generator = Generator(core, request, partial(completion_parameter, body))
    choice_count = body.n or 1
    if body.stream:
        encoder = CompletionChunks(
            choice_count=choice_count, include_usage=body.wants_usage_chunk()
        )
        return await streamed_answer(request, core.options, body, generator, specs, encoder)
    return await whole_answer(
        request, core.options, body, generator, specs, lambda r: completion(r, choice_count)
    )
