"""Bytes that are sent as they are made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sterna_rest.http.disconnect import write_unless_client_leaves


class ByteStream(Response):
    """Sends the parts that `parts` yields.

    `on_close` runs once, however it ends, even before the first part was asked for. It must cancel
    the calls behind `parts`; what then does not end by itself is cancelled. An error out of `parts`
    comes too late for a status: the connection is closed before the body's end, and clients take
    that for a failure.
    """

    def __init__(
        self,
        parts: AsyncGenerator[bytes],
        *,
        media_type: str,
        on_close: Callable[[], object],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(media_type=media_type, headers=headers)
        # A stream has no length, and proxies must not collect it.
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-cache"
        self.headers["x-accel-buffering"] = "no"
        self._parts = parts
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await write_unless_client_leaves(receive, self._write(send), self._on_close)

    async def _write(self, send: Send) -> None:
        async with aclosing(self._parts) as parts:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
