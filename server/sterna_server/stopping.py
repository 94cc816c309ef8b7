"""What SIGINT and SIGTERM mean: the first asks for a graceful stop, the second ends the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

Result = TypeVar("Result")


class StopRequest:
    """Becomes set when the process is asked to stop. `grace` is in seconds, for the message."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._event = asyncio.Event()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listens to signals while inside; outside the main thread that is not possible."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._received, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def wait(self) -> None:
        """Returns when a stop was asked for."""
        await self._event.wait()

    async def interrupts(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """The result of `work`, or None when a stop came first; then `work` is cancelled."""
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self.wait())
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return None
        finally:
            stopped.cancel()

    def _received(self, number: signal.Signals) -> None:
        if self._event.is_set():
            os._exit(128 + number)
        self._event.set()
        # Whoever read what the server says may have gone before it.
        with contextlib.suppress(OSError):
            print(
                f"Stopping; running requests have {self._grace:g} s to finish. "
                "A second Ctrl-C stops at once.",
                file=sys.stderr,
                flush=True,
            )


async def first_of(*waits: Coroutine[Any, Any, None]) -> None:
    """Returns when the first wait does; its error is raised."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
