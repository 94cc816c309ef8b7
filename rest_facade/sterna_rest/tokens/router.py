"""`POST /tokenize` and `POST /detokenize`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request

from sterna.v1 import inference_pb2
from sterna.v1.model_admin_pb2 import GetModelRequest
from sterna_rest.core import CoreLink, core_link
from sterna_rest.http.openapi import DetailBody, error_documentation, example_of
from sterna_rest.http.strict_json import JsonRoute
from sterna_rest.tokens.schemas import (
    DETOKENIZE_EXAMPLES,
    TOKENIZE_EXAMPLES,
    TOKENS_EXAMPLE,
    DetokenizeBody,
    DetokenizeRequest,
    TokenizeBody,
    TokenizeRequest,
)
from sterna_rest.tokens.transcode import token_parameter, tokenize_body, tokenize_request

router = APIRouter(tags=["tokens"], route_class=JsonRoute)

_ERRORS = error_documentation(400, 404, 413, 415, 422, 500, 503, 504, body=DetailBody)


@router.post(
    "/tokenize",
    operation_id="tokenize",
    summary="Turn text into tokens",
    responses=example_of(TOKENS_EXAMPLE) | _ERRORS,
)
async def tokenize(
    request: Request,
    body: Annotated[TokenizeRequest, Body(openapi_examples=TOKENIZE_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> TokenizeBody:
    """The tokens of a text, or of a conversation with everything that the template adds."""
    response = await core.control(
        request, core.inference.Tokenize, tokenize_request(body), token_parameter
    )
    described = await core.control(
        request, core.admin.GetModel, GetModelRequest(model_id=response.model_id)
    )
    return tokenize_body(
        response, described.model.context_length, texts=bool(body.return_token_strs)
    )


@router.post(
    "/detokenize",
    operation_id="detokenize",
    summary="Turn tokens into text",
    responses=example_of({"prompt": "Hello, world"}) | _ERRORS,
)
async def detokenize(
    request: Request,
    body: Annotated[DetokenizeRequest, Body(openapi_examples=DETOKENIZE_EXAMPLES)],
    core: Annotated[CoreLink, Depends(core_link)],
) -> DetokenizeBody:
    """The text of the tokens, control tokens included."""
    response = await core.control(
        request,
        core.inference.Detokenize,
        inference_pb2.DetokenizeRequest(model_id=body.model or "", token_ids=body.tokens),
        token_parameter,
    )
    return DetokenizeBody(prompt=response.text)
