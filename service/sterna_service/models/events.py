"""What happened in the server: numbered, kept for a while, and told to whoever watches."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Protocol

from sterna_service.errors import Reason, ServiceError

# Of so many events the latest are kept for watchers that come back.
MOST_KEPT = 10_000


class EventKind(Enum):
    """What can happen; the values are the names that webhooks use."""

    MODEL_STARTED = "model.started"
    MODEL_STOPPED = "model.stopped"
    MODEL_FAILED = "model.failed"
    MODEL_ADDED = "model.added"
    MODEL_DELETED = "model.deleted"
    ADAPTER_LOADED = "adapter.loaded"
    ADAPTER_UNLOADED = "adapter.unloaded"
    ADAPTER_ADDED = "adapter.added"
    ADAPTER_DELETED = "adapter.deleted"
    TRANSCRIPTION_COMPLETED = "transcription.completed"
    SERVER_DRAINING = "server.draining"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One thing that happened. Strings that do not apply are empty."""

    revision: int
    kind: EventKind
    time: datetime
    model_id: str = ""
    adapter_id: str = ""
    transcription_id: str = ""
    reason: str = ""
    message: str = ""


class EventRecorder(Protocol):
    """Keeps events beyond the life of the server, for those who asked to be told."""

    def put(self, event: ServerEvent) -> None:
        """Takes an event; returns at once."""
        ...

    async def settle(self) -> None:
        """Returns when everything taken so far is kept, or cannot be for now."""
        ...


class EventLog:
    """The latest events of one server. Belongs to the event loop.

    Revisions grow by one, also across restarts: the first one is taken from the clock, in
    microseconds, and no server makes a million events a second for long.
    """

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        self.revision = time.time_ns() // 1000
        """The revision of the latest event."""
        self._kept: deque[ServerEvent] = deque(maxlen=most_kept)
        self._news = asyncio.Event()
        self._closed = False
        self._recorder: EventRecorder | None = None

    def record_in(self, recorder: EventRecorder) -> None:
        """Hands every event from now on to `recorder`, too."""
        self._recorder = recorder

    async def settle(self) -> None:
        """Returns when what happened so far is recorded.

        A call whose outcome is an event ends only after that, so that the event is not lost with
        the process once its cause was acknowledged.
        """
        if self._recorder is not None:
            await self._recorder.settle()

    def add(
        self,
        kind: EventKind,
        *,
        model_id: str = "",
        adapter_id: str = "",
        transcription_id: str = "",
        reason: str = "",
        message: str = "",
    ) -> None:
        """Notes an event and wakes the watchers."""
        self.revision += 1
        now = datetime.now(UTC)
        event = ServerEvent(
            self.revision, kind, now, model_id, adapter_id, transcription_id, reason, message
        )
        self._kept.append(event)
        if self._recorder is not None:
            self._recorder.put(event)
        self._wake()

    def close(self) -> None:
        """Ends every watch once it has told all."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def watch(
        self, after: int | None, kinds: Collection[EventKind], heartbeat_seconds: float
    ) -> AsyncGenerator[ServerEvent | None]:
        """Events as they come, until the caller leaves or the log is closed; None is a heartbeat.

        The first item is a heartbeat, so that a watcher knows that it misses nothing from now on.
        Those after revision `after` come before new ones; 0 means all that are kept, None none.
        `kinds` that are empty stand for all. Iterate it inside `contextlib.aclosing`.

        Raises:
            ServiceError: Events after that revision have been dropped.
        """
        seen = self._start(after)
        self._check(seen)
        yield None
        while True:
            news = self._news
            for event in self._after(seen):
                seen = event.revision
                if not kinds or event.kind in kinds:
                    yield event
            if news.is_set():
                continue
            if self._closed:
                return
            try:
                async with asyncio.timeout(heartbeat_seconds):
                    await news.wait()
            except TimeoutError:
                yield None

    @property
    def _oldest(self) -> int:
        return self._kept[0].revision if self._kept else self.revision + 1

    def _start(self, after: int | None) -> int:
        if after is None:
            return self.revision
        if after == 0:
            return self._oldest - 1
        # A revision of the future is one of another server, or of a clock that was set back.
        if after > self.revision:
            raise self._compacted(after)
        return after

    def _check(self, seen: int) -> None:
        """Raises `ServiceError` when events after a revision have been dropped: the watcher is too
        slow, or came too late."""
        if seen < self._oldest - 1:
            raise self._compacted(seen)

    def _after(self, seen: int) -> list[ServerEvent]:
        """The events after a revision, oldest first. Raises as `_check`."""
        self._check(seen)
        # From the end: most watchers have seen all but the latest.
        new = itertools.takewhile(lambda event: event.revision > seen, reversed(self._kept))
        return list(new)[::-1]

    def _compacted(self, after: int) -> ServiceError:
        return ServiceError(
            Reason.REVISION_COMPACTED,
            f"the events after revision {after} are no longer kept; the oldest kept one is "
            f"{self._oldest}: list the models, then watch without after_revision",
            metadata={"oldest_revision": str(self._oldest)},
        )
