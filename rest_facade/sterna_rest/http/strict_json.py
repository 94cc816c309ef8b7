"""JSON bodies as RFC 8259 has them: UTF-8, no NaN, no Infinity, no lone surrogates."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.responses import Response

from sterna_rest.errors.api_error import ApiError

MAX_PARTS = 131_072
"""Objects, lists and fields of a body. A megabyte of text is read in no time, and a megabyte of
`[],` takes everybody's; no model's context holds a conversation of so many parts."""


def parse_json(body: bytes) -> Any:
    """`body` as Python values. Raises `ApiError` 400 that says where it is wrong, and 413 when it
    has more than `MAX_PARTS`."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise _bad_request(
            f"The request body is not valid UTF-8 at byte {error.start}; send JSON as UTF-8."
        ) from None
    # Texts may hold any of these signs; they are left out only where that matters.
    if _count_parts(body) > MAX_PARTS and _count_parts(_without_strings(body)) > MAX_PARTS:
        raise ApiError(
            413,
            f"The request body has more than {MAX_PARTS} objects, lists and fields; send fewer.",
            code="request_too_large",
        )
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise _bad_request(f"The request body is not valid JSON: {error}.") from None


class JsonRequest(Request):
    """A request whose body is JSON or nothing."""

    async def body(self) -> bytes:
        body = await super().body()
        if body and not _is_json(self.headers.get("content-type", "")):
            # A browser sends other types to any server without asking it first, so they are not
            # taken for JSON.
            raise ApiError(
                415,
                "Send the body as JSON, with the header `Content-Type: application/json`.",
                code="unsupported_media_type",
            )
        return body

    async def json(self) -> Any:
        return parse_json(await self.body())


class JsonRoute(APIRoute):
    """A route that reads its body through `JsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict_handler(request: Request) -> Response:
            return await handler(JsonRequest(request.scope, request.receive))

        return strict_handler


class UndeclaredJsonRoute(JsonRoute):
    """As `JsonRoute`, but programs need not declare that they send JSON.

    Browsers name the page that asks, and what no page sent cannot be a page's trick.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def lenient_handler(request: Request) -> Response:
            if not ("origin" in request.headers or "referer" in request.headers):
                declared = (b"content-type", b"application/json")
                others = [each for each in request.scope["headers"] if each[0] != declared[0]]
                request = Request(
                    {**request.scope, "headers": [*others, declared]}, request.receive
                )
            return await handler(request)

        return lenient_handler


def _count_parts(json: bytes) -> int:
    return json.count(b"{") + json.count(b"[") + json.count(b":")


def _without_strings(json: bytes) -> bytes:
    """What stands between strings, whether or not the last one ends. Takes linear time."""
    return b"".join(json.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _bad_request(message: str) -> ApiError:
    return ApiError(400, message, code="invalid_request")
