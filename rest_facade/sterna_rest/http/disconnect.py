"""Noticing that a client left, so that its work stops with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from starlette.types import Receive

T = TypeVar("T")

# A cancelled call ends at once; a queue that calls should have filled is waited for in vain.
_CLOSING_SECONDS = 1.0


class ClientLeftError(Exception):
    """The client closed its connection before it got an answer."""


async def client_left(receive: Receive) -> None:
    """Returns when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled at once when the client leaves.

    A handler that only awaits would never hear of it. Call this after the body was read. Raises
    `ClientLeftError` then, and whatever `work` raises.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(client_left(request.receive))
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeftError
    finally:
        watcher.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))


async def write_unless_client_leaves(
    receive: Receive, work: Coroutine[Any, Any, None], on_close: Callable[[], object]
) -> None:
    """Runs `work`, which writes a response, until it ends or the client leaves.

    `on_close` runs once, however that ends, and must cancel the calls behind `work`; what then does
    not end by itself is cancelled. Raises what `work` raises, but for a broken connection.
    """
    writer = asyncio.create_task(work)
    watcher = asyncio.create_task(client_left(receive))
    try:
        await asyncio.wait((writer, watcher), return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Also the way out when the server itself gives up on this request.
        watcher.cancel()
        on_close()
        # grpc.aio loses memory for each task that is cancelled while it reads from a call
        # (grpc issue 43360), and none for a call that is cancelled.
        await asyncio.wait((writer,), timeout=_CLOSING_SECONDS)
        writer.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await writer
