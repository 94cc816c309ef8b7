"""Uploads: forms with a file, which a client must not stop sending half-way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import Request, UploadFile
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Message

from sterna_rest.core import CoreLink
from sterna_rest.errors import ApiError

# The core takes messages of at most this size.
PART_BYTES = 64 * 1024


class UploadRoute(APIRoute):
    """A route whose body must keep coming; a 408 ends the wait for one that does not."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def patient_handler(request: Request) -> Response:
            core = request.app.state.sterna_core
            assert isinstance(core, CoreLink)
            seconds = core.options.upload_idle_seconds
            complete = False

            async def receive() -> Message:
                nonlocal complete
                if complete:
                    # From here on, waiting means waiting for the client to leave.
                    return await request.receive()
                try:
                    message = await asyncio.wait_for(request.receive(), seconds)
                except TimeoutError:
                    raise ApiError(
                        408,
                        f"No part of the upload came for {seconds:g} s; send it without a pause.",
                        code="upload_stalled",
                    ) from None
                complete = not message.get("more_body", False)
                return message

            return await handler(Request(request.scope, receive))

        return patient_handler


async def file_parts(file: UploadFile) -> AsyncIterator[bytes]:
    """The bytes of an uploaded file, in parts for the core."""
    await file.seek(0)
    while part := await file.read(PART_BYTES):
        yield part
