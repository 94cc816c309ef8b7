"""The downloads of a server: jobs of its own, which clients watch, leave, find again and cancel."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from sterna_service.errors import Reason, ServiceError
from sterna_service.models.catalogue import holds_adapter
from sterna_service.models.events import EventKind, EventLog
from sterna_service.models.hub import Hub, PullCancelledError
from sterna_service.models.pull import Progress, PullState, pull
from sterna_service.models.store import Store

_log = logging.getLogger(__name__)

# Between two reports to one client, in seconds.
_REPORT_SECONDS = 0.25


@dataclass(slots=True)
class _Job:
    progress: Progress
    cancelled: threading.Event = field(default_factory=threading.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Pulls:
    """Runs one download per repository at a time. Belongs to the event loop."""

    def __init__(self, store: Store, hub: Hub, events: EventLog) -> None:
        self._store = store
        self._hub = hub
        self._events = events
        self._jobs: dict[tuple[str, str], _Job] = {}

    def running(self) -> list[Progress]:
        """How far each download is, oldest first."""
        return [job.progress for job in self._jobs.values()]

    async def pull(self, source: str, revision: str) -> AsyncGenerator[Progress]:
        """Starts a download, or attaches to the one that runs, and tells how far it is.

        The last report is the completed one. Leaving does not stop the download. Iterate it inside
        `contextlib.aclosing`.

        Raises:
            ServiceError: It failed, or was cancelled.
        """
        self._store.directory(source)
        job = self._jobs.get((source, revision))
        if job is None:
            job = self._start(source, revision)
        assert job.task is not None
        told: Progress | None = None
        while not job.task.done():
            job.news.clear()
            # That it is complete is told once, when watchers of the models know of it, too.
            complete = job.progress.state is PullState.COMPLETED
            if job.progress is not told and not complete:
                told = job.progress
                yield told
                await asyncio.wait({job.task}, timeout=_REPORT_SECONDS)
                continue
            news = asyncio.ensure_future(job.news.wait())
            try:
                await asyncio.wait({job.task, news}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
        job.task.result()
        yield job.progress

    async def cancel(self, source: str, revision: str) -> None:
        """Stops a download; what it has brought is kept for the next one.

        Raises:
            ServiceError: No such download is running.
        """
        job = self._jobs.get((source, revision))
        if job is None or job.task is None:
            raise ServiceError(
                Reason.PULL_NOT_FOUND,
                f"no download of {source!r} is running",
                metadata={"source": source},
            )
        job.cancelled.set()
        await asyncio.wait({job.task})
        if not job.task.cancelled() and job.task.exception() is None:
            raise ServiceError(
                Reason.PULL_NOT_FOUND,
                f"the download of {source!r} was complete before it could be stopped",
                metadata={"source": source},
            )

    async def close(self) -> None:
        """Stops all downloads."""
        tasks = []
        for job in self._jobs.values():
            job.cancelled.set()
            if job.task is not None:
                tasks.append(job.task)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, source: str, revision: str) -> _Job:
        job = self._jobs[source, revision] = _Job(Progress(source))
        job.task = asyncio.create_task(self._run(job, source, revision))
        # Its clients may all have gone.
        job.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return job

    async def _run(self, job: _Job, source: str, revision: str) -> None:
        loop = asyncio.get_running_loop()

        def take(progress: Progress) -> None:
            job.progress = progress
            job.news.set()

        def report(progress: Progress) -> None:
            loop.call_soon_threadsafe(take, progress)

        try:
            directory = await asyncio.to_thread(
                pull, self._store, self._hub, source, revision, report, job.cancelled
            )
        except PullCancelledError:
            raise ServiceError(
                Reason.CANCELLED, f"the download of {source} was cancelled; what came is kept"
            ) from None
        except ServiceError as error:
            _log.warning("download failed", extra={"source": source, "why": str(error)})
            raise
        finally:
            del self._jobs[source, revision]
        if await asyncio.to_thread(holds_adapter, directory):
            self._events.add(EventKind.ADAPTER_ADDED, adapter_id=source)
        else:
            self._events.add(EventKind.MODEL_ADDED, model_id=source)
        _log.info("download complete", extra={"source": source})
