"""An event loop beside the terminal.

Reading a line blocks, and Ctrl-C belongs to the thread that reads. So the main thread owns the
terminal, and everything asynchronous runs on one loop in one other thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")
Item = TypeVar("Item")


class BackgroundLoop:
    """An event loop in a thread of its own, while the `with` block runs."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="sterna-chat-loop", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`. Ctrl-C cancels it and raises KeyboardInterrupt here."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            self._cancel(future)
            raise

    def iterate(self, items: AsyncIterator[Item]) -> Iterator[Item]:
        """The items as they come. Ctrl-C cancels their source and raises KeyboardInterrupt here."""
        ready: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()

        async def pump() -> None:
            try:
                async for item in items:
                    ready.put(item)
            finally:
                ready.put(_End())

        future = asyncio.run_coroutine_threadsafe(pump(), self._loop)
        try:
            while not isinstance(item := ready.get(), _End):
                yield item
            future.result()
        except (KeyboardInterrupt, GeneratorExit):
            self._cancel(future)
            raise

    @staticmethod
    def _cancel(future: concurrent.futures.Future[Any]) -> None:
        future.cancel()
        concurrent.futures.wait((future,), timeout=5.0)


class _End:
    """Marks the end of the items."""
