"""Events on their way to the client, of which audio can be taken back."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sterna_service.speech.types import AudioPart

T = TypeVar("T")

# Audio that waits for a slow client; synthesis pauses beyond it. Twenty seconds of raw samples.
MOST_WAITING_BYTES = 1024 * 1024
# Events that wait for a slow client; no more of what it sends is taken beyond them.
MOST_WAITING_EVENTS = 500


@dataclass(frozen=True)
class _Waiting:
    """Audio, and who wants to know when it leaves."""

    part: AudioPart
    on_read: Callable[[AudioPart], None]


class Outbox(Generic[T]):
    """A queue with one reader."""

    def __init__(self) -> None:
        self._items: collections.deque[T | _Waiting] = collections.deque()
        self._bytes = 0
        self._error: BaseException | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._taken = asyncio.Event()

    def put(self, item: T) -> None:
        """Adds an event that is no audio."""
        self._items.append(item)
        self._changed.set()

    async def put_audio(self, part: AudioPart, on_read: Callable[[AudioPart], None]) -> None:
        """Adds audio once there is room for it; `on_read` is called when it leaves."""
        await self._room.wait()
        self._items.append(_Waiting(part, on_read))
        self._count(len(part.data))
        self._changed.set()

    async def ready(self) -> None:
        """Returns when the reader is not far behind."""
        while len(self._items) >= MOST_WAITING_EVENTS and not self._closed:
            self._taken.clear()
            await self._taken.wait()

    def drop_audio(self) -> None:
        """Takes back the audio that was not read yet."""
        self._items = collections.deque(
            item for item in self._items if not isinstance(item, _Waiting)
        )
        self._count(-self._bytes)
        self._taken.set()

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more comes; after what is there, `error` is raised."""
        self._closed, self._error = True, self._error or error
        self._changed.set()
        self._taken.set()

    async def read(self) -> AsyncGenerator[T | AudioPart]:
        """Everything, in order, until the outbox is closed. Raises the error it was closed with."""
        while True:
            while self._items:
                item = self._items.popleft()
                self._taken.set()
                if isinstance(item, _Waiting):
                    self._count(-len(item.part.data))
                    item.on_read(item.part)
                    yield item.part
                else:
                    yield item
            if self._closed:
                if self._error is not None:
                    raise self._error
                return
            self._changed.clear()
            await self._changed.wait()

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes < MOST_WAITING_BYTES:
            self._room.set()
        else:
            self._room.clear()
