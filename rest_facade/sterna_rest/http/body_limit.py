"""Refuses bodies that are too large while they arrive, not after they are stored."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sterna_rest.access.admission import admission_of
from sterna_rest.errors.api_error import ApiError


class BodyLimitMiddleware:
    """Answers 413 as soon as a request announces or sends more than `limit` bytes.

    `limits` holds the paths that have a limit of their own.
    """

    def __init__(self, app: ASGIApp, limit: int, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], self._limit)
        admission = admission_of(scope)
        if admission is not None and admission.response.limits.upload_bytes:
            limit = min(limit, admission.response.limits.upload_bytes)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await _too_large(limit).response(scope["path"])(scope, receive, send)
            return
        seen = 0

        async def limited_receive() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise _too_large(limit)
            return message

        await self._app(scope, limited_receive, send)


def _too_large(limit: int) -> ApiError:
    return ApiError(
        413,
        f"The request body is larger than the limit of {limit} bytes; send less.",
        code="request_too_large",
    )
