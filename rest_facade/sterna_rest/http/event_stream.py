"""Server-sent events: headers at once, comments during silence, an end when the client leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sterna_rest.errors.api_error import ApiError, internal_error
from sterna_rest.http.disconnect import write_unless_client_leaves
from sterna_rest.http.request_context import request_context
from sterna_rest.http.sse import COMMENT, error_event

_logger = logging.getLogger("sterna.rest")


class EventStream(Response):
    """Sends the events that `events` yields, each a complete SSE event in UTF-8.

    - The headers leave before the first event is there.
    - After `keepalive_seconds` of wall-clock silence a comment leaves, or whatever `keepalive` is;
      the timer runs whether or not anything happens behind it. Empty means that none does.
    - An `ApiError` out of `events` becomes what `on_error` makes of it, and the stream ends; so
      does a bug, without its text.
    - `on_close` runs once, however it ends, even before the first event was asked for. It must
      cancel the calls behind `events`; what then does not end by itself is cancelled.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        *,
        keepalive_seconds: float,
        on_close: Callable[[], object],
        on_error: Callable[[ApiError], bytes] = error_event,
        headers: Mapping[str, str] | None = None,
        keepalive: bytes = COMMENT,
        media_type: str = "text/event-stream",
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        # A stream has no length, and proxies must not collect it.
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-cache"
        self.headers["x-accel-buffering"] = "no"
        self._events = events
        self._keepalive_seconds = keepalive_seconds
        self._keepalive = keepalive
        self._on_close = on_close
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await write_unless_client_leaves(receive, self._write(scope, send), self._on_close)

    async def _write(self, scope: Scope, send: Send) -> None:
        pulse = _Pulse(send, self._keepalive_seconds, self._keepalive)
        async with aclosing(self._events) as events:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            pulse.start()
            try:
                async for event in events:
                    await pulse.send(event)
            except ApiError as error:
                await pulse.send(self._on_error(error))
            except OSError:
                return  # the client left while we were writing
            except Exception:
                _logger.exception("request %s failed", request_context(scope).request_id)
                await pulse.send(self._on_error(internal_error()))
            finally:
                pulse.stop()
            with suppress(OSError):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Pulse:
    """Writes body parts, and a beat whenever none was written for `interval` seconds."""

    def __init__(self, send: Send, interval: float, beat: bytes) -> None:
        self._send = send
        self._body = beat
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._writing = False
        self._task: asyncio.Task[None] | None = None

    async def send(self, body: bytes) -> None:
        self._writing = True
        try:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            self._writing = False
            self._last = self._loop.time()

    def start(self) -> None:
        if self._body:
            self._task = asyncio.create_task(self._beat())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _beat(self) -> None:
        while True:
            silence = self._loop.time() - self._last
            if silence >= self._interval and not self._writing:
                with suppress(OSError):
                    await self.send(self._body)
                continue
            # While a write waits for a slow client there is no silence to break.
            await asyncio.sleep(max(self._interval - silence, self._interval / 4))
