"""Several streams of events as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")

# Items that may wait for a slow consumer; the sources wait beyond.
_MOST_WAITING = 64


class _End:
    """One source is at its end."""


async def merged(
    *sources: AsyncGenerator[T], most_waiting: int = _MOST_WAITING
) -> AsyncGenerator[T]:
    """What the sources yield, in the order in which it comes, until all are at their end.

    The sources wait while `most_waiting` items do; with 0 they never wait. The first error ends
    all. Iterate it inside `contextlib.aclosing`: closing it closes the sources.
    """
    items: asyncio.Queue[T | _End | BaseException] = asyncio.Queue(most_waiting)

    async def run(source: AsyncGenerator[T]) -> None:
        try:
            async with contextlib.aclosing(source) as each:
                async for item in each:
                    await items.put(item)
        except Exception as error:
            await items.put(error)
        else:
            await items.put(_End())

    tasks = [asyncio.create_task(run(source)) for source in sources]
    running = len(tasks)
    try:
        while running:
            item = await items.get()
            if isinstance(item, _End):
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
