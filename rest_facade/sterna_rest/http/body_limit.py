"""Refuses bodies that are too large or too slow while they arrive, not after they are stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sterna_rest.access.admission import admission_of
from sterna_rest.errors.api_error import ApiError

# Slower than any modem; what comes more slowly than this, after the time for pauses, is a siege.
_LEAST_BYTES_PER_SECOND = 1000


class BodyLimitMiddleware:
    """Answers 413 to a body of more than `limit` bytes, and 408 to one that does not come.

    `limits` holds the paths that have a limit of their own. A body may pause for `patience`
    seconds, and as a whole it may take that long and a second more for each 1000 bytes.
    """

    def __init__(
        self, app: ASGIApp, limit: int, limits: Mapping[str, int], patience: float
    ) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits
        self._patience = patience

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
        complete = False
        waited = 0.0

        async def limited_receive() -> Message:
            nonlocal seen, complete, waited
            if complete:
                # From here on, waiting means waiting for the client to leave.
                return await receive()
            loop = asyncio.get_running_loop()
            begin = loop.time()
            # Only the time that is spent waiting for the client counts, not that of the server.
            left = self._patience + seen / _LEAST_BYTES_PER_SECOND - waited
            try:
                async with asyncio.timeout(max(0.0, min(self._patience, left))):
                    message = await receive()
            except TimeoutError:
                raise _too_slow(self._patience) from None
            waited += loop.time() - begin
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise _too_large(limit)
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, limited_receive, send)


def _too_large(limit: int) -> ApiError:
    return ApiError(
        413,
        f"The request body is larger than the limit of {limit} bytes; send less.",
        code="request_too_large",
    )


def _too_slow(patience: float) -> ApiError:
    return ApiError(
        408,
        f"The request body comes too slowly: send it without pauses of {patience:g} s, and at "
        f"least {_LEAST_BYTES_PER_SECOND} bytes per second.",
        code="upload_stalled",
    )
