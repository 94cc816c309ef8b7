"""`/v1/responses/{response_id}` and what is below it: responses that the core keeps."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic_core import to_json
from starlette.responses import Response

from sterna.v1.inference_pb2 import DeleteAnswerRequest, GetAnswerRequest, GetAnswerResponse
from sterna_rest.core import CoreLink, core_link
from sterna_rest.errors import ApiError
from sterna_rest.generation.unsupported import unsupported
from sterna_rest.http.openapi import error_documentation
from sterna_rest.responses.items import input_items, page_of_items
from sterna_rest.responses.schemas import (
    ITEMS_EXAMPLE,
    RESPONSE_EXAMPLE,
    DeletedResponse,
    InputItems,
    ResponseBody,
)
from sterna_rest.responses.transcode import core_id, stored_body

router = APIRouter(tags=["responses"])

ResponseId = Annotated[str, Path(description="As in the `id` of the response.")]
Core = Annotated[CoreLink, Depends(core_link)]


def _documentation(body: type, example: dict[str, Any], *errors: int) -> dict[int | str, Any]:
    return {
        200: {"model": body, "content": {"application/json": {"example": example}}},
        **error_documentation(404, *errors, 500, 503, 504),
    }


@router.get(
    "/v1/responses/{response_id}",
    operation_id="getResponse",
    summary="Get a stored response",
    response_model=None,
    responses=_documentation(ResponseBody, RESPONSE_EXAMPLE, 400),
)
async def get_response(
    request: Request,
    response_id: ResponseId,
    core: Core,
    stream: Annotated[
        bool | None, Query(description="A response that is complete cannot be streamed again.")
    ] = None,
) -> Response:
    """The response as it was given."""
    if stream:
        raise unsupported("stream", "streaming a stored response again is")
    found = await _find(request, core, response_id)
    return _json(stored_body(found.answer))


@router.get(
    "/v1/responses/{response_id}/input_items",
    operation_id="listInputItems",
    summary="List what a stored response answered",
    response_model=None,
    responses=_documentation(InputItems, ITEMS_EXAMPLE, 400, 422),
)
async def list_input_items(
    request: Request,
    response_id: ResponseId,
    core: Core,
    after: Annotated[str | None, Query(description="The id behind which the page begins.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Items of a page.")] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="`desc`: newest first.")] = "desc",
) -> Response:
    """The items before the response, those of the responses that it follows included."""
    found = await _find(request, core, response_id, include_previous=True)
    return _json(page_of_items(input_items(found), after, limit, order))


@router.delete(
    "/v1/responses/{response_id}",
    operation_id="deleteResponse",
    summary="Forget a stored response",
    response_model=None,
    responses=_documentation(
        DeletedResponse, {"id": RESPONSE_EXAMPLE["id"], "object": "response", "deleted": True}
    ),
)
async def delete_response(request: Request, response_id: ResponseId, core: Core) -> Response:
    """From now on nothing can follow it, nor what follows it already."""
    message = DeleteAnswerRequest(response_id=core_id(response_id))
    try:
        await core.control(request, core.inference.DeleteAnswer, message)
    except ApiError as error:
        raise _named(error, response_id) from None
    return _json({"id": response_id, "object": "response", "deleted": True})


async def _find(
    request: Request, core: CoreLink, response_id: str, include_previous: bool = False
) -> GetAnswerResponse:
    message = GetAnswerRequest(response_id=core_id(response_id), include_previous=include_previous)
    try:
        return await core.control(request, core.inference.GetAnswer, message)
    except ApiError as error:
        raise _named(error, response_id) from None


def _named(error: ApiError, response_id: str) -> ApiError:
    """The error in the words of this API."""
    if error.code != "response_not_found":
        return error
    shown = response_id[:64]
    return ApiError(
        404,
        f"There is no stored response {shown!r}, or it has expired.",
        code=error.code,
        param="response_id",
    )


def _json(body: dict[str, Any]) -> Response:
    return Response(to_json(body), media_type="application/json")
