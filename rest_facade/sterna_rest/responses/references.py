"""Items of an input that only name what the server keeps."""

from __future__ import annotations

import re
from typing import Any

from fastapi import Request

from sterna.v1.inference_pb2 import GetAnswerRequest
from sterna_rest.core import CoreLink
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import missing
from sterna_rest.responses.items import own_items
from sterna_rest.responses.schemas import InputItem, ResponseRequest

# Each item's id holds that of its response.
_ITEM_ID = re.compile(r"[a-z]+_([0-9a-f]{32})(?:_.*)?", re.DOTALL)


async def with_references(
    request: Request, core: CoreLink, body: ResponseRequest
) -> ResponseRequest:
    """The request with every `item_reference` replaced by its item. Raises `ApiError`."""
    if isinstance(body.input, str):
        return body
    kept: dict[str, dict[str, Any]] = {}
    items = list(body.input)
    for index, item in enumerate(items):
        if item.type != "item_reference":
            continue
        where = f"input[{index}].id"
        if not item.id:
            raise missing(where)
        if item.id not in kept:
            kept |= await _siblings(request, core, item.id)
        if item.id not in kept:
            raise _not_found(item.id, where)
        items[index] = InputItem.model_validate(kept[item.id])
    return body.model_copy(update={"input": items})


async def _siblings(request: Request, core: CoreLink, item_id: str) -> dict[str, dict[str, Any]]:
    """The items of the response that holds this one, by id; none if it is not kept."""
    matched = _ITEM_ID.fullmatch(item_id)
    if matched is None:
        return {}
    message = GetAnswerRequest(response_id=matched[1])
    try:
        found = await core.control(request, core.inference.GetAnswer, message)
    except ApiError as error:
        if error.code == "response_not_found":
            return {}
        raise
    return {item["id"]: item for item in own_items(found.answer)}


def _not_found(item_id: str, where: str) -> ApiError:
    return ApiError(
        404,
        f"There is no item {item_id[:128]!r} in a stored response; send the item itself.",
        code="item_not_found",
        param=where,
    )
