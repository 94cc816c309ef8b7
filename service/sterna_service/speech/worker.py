"""A worker that is always there: started on first use, again after a crash, shared in turns."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

from sterna_service.errors import Reason, ServiceError
from sterna_service.speech import wire
from sterna_service.speech.process import WorkerProcess, start_process
from sterna_service.telemetry.spans import NO_SPAN, current_span, kind_of

# Live audio is recognised again and again; a span for each pass would hide the others.
_UNTRACED = ("live_recognize",)
_LOAD = "load"
_log = logging.getLogger(__name__)

INSTALL_COMMAND = 'pip install "sterna-server[voice]"'


AudioObserver = Callable[[str, float, float], None]
"""Hears of every request that was done: the kind of worker, seconds of audio, and the seconds that
the worker computed for it."""


class Session:
    """One stream of work on one worker process; what the worker keeps for it dies with it."""

    def __init__(self, worker: Worker, process: WorkerProcess) -> None:
        self._worker = worker
        self._process = process
        self._stream = process.new_stream()
        self.busy_seconds = 0.0
        """How long the worker computed for this stream, without the load of its model: only the
        first request after a while pays for that, and it says nothing of the speed of speech."""

    async def post(self, op: str, data: bytes = b"") -> None:
        """Sends an operation of this stream that has no answer. Raises `ServiceError`."""
        await self._process.post(op, data=data, stream=self._stream)

    async def ask(self, op: str, *, data: bytes = b"", **fields: Any) -> wire.Message:
        """Waits for a turn, then for the result of an operation. Raises `ServiceError`."""
        async with self._turn(op):
            return await self._process.ask(op, data=data, stream=self._stream, **fields)

    async def ask_now(self, op: str, *, data: bytes = b"", **fields: Any) -> wire.Message:
        """As `ask`, without waiting for a turn: for what takes the worker no time."""
        return await self._process.ask(op, data=data, stream=self._stream, **fields)

    async def call(
        self, op: str, *, data: bytes = b"", **fields: Any
    ) -> AsyncGenerator[wire.Message]:
        """Waits for a turn, then yields the events and the result of an operation.

        The worker is free for others as soon as it is done, however slowly the caller takes what
        it made; an operation makes little by design.

        Raises:
            ServiceError: The worker refused, or died.
        """
        made: asyncio.Queue[wire.Message | Exception] = asyncio.Queue()

        async def compute() -> None:
            try:
                async with (
                    self._turn(op),
                    contextlib.aclosing(
                        self._process.call(op, data=data, stream=self._stream, **fields)
                    ) as messages,
                ):
                    async for message in messages:
                        made.put_nowait(message)
            except Exception as error:
                made.put_nowait(error)

        computing = asyncio.create_task(compute())
        try:
            last = False
            while not last:
                message = await made.get()
                if isinstance(message, Exception):
                    raise message
                last = "event" not in message.header
                yield message
        finally:
            computing.cancel()
            await asyncio.wait([computing])

    @contextlib.asynccontextmanager
    async def _turn(self, op: str) -> AsyncIterator[None]:
        asked = time.perf_counter()
        async with self._worker.turn(self._process):
            begin = time.perf_counter()
            span = NO_SPAN
            if op not in _UNTRACED:
                waited = {"sterna.speech.wait_seconds": begin - asked}
                span = current_span().child(f"{self._worker.kind} {op}", waited)
            try:
                yield
            except BaseException as error:
                span.end(error=kind_of(error))
                raise
            finally:
                seconds = time.perf_counter() - begin
                self._worker.busy_seconds += seconds
                if op != _LOAD:
                    self.busy_seconds += seconds
                span.end()

    def note_audio(self, seconds: float) -> None:
        """Notes that the worker has made, or understood, so many seconds of audio."""
        self._worker.on_audio(self._worker.kind, seconds, self.busy_seconds)

    async def close(self) -> None:
        """Forgets the stream."""
        with contextlib.suppress(ServiceError):
            await self._process.post("close", stream=self._stream)


class Place:
    """A place in the queue of a worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Waits for something else than the worker, such as a slow client, and is not counted."""
        self._worker.step_aside(1)
        try:
            yield
        finally:
            self._worker.step_aside(-1)

    @contextlib.contextmanager
    def back(self) -> Iterator[None]:
        """Inside of `aside`: is counted again."""
        self._worker.step_aside(-1)
        try:
            yield
        finally:
            self._worker.step_aside(1)


class Worker:
    """Supervises one kind of worker.

    `gate` is shared with the other workers: it bounds how many of them compute at the same time.
    At most `max_queue` requests wait beyond the one that is served. A process that nobody used for
    `keep_alive` seconds is ended; with None it stays.
    """

    def __init__(
        self,
        kind: str,
        packages: tuple[str, ...],
        *,
        threads: int,
        gate: asyncio.Semaphore,
        max_queue: int,
        on_audio: AudioObserver = lambda kind, audio_seconds, busy_seconds: None,
        keep_alive: float | None = None,
    ) -> None:
        self.kind = kind
        self._keep_alive = keep_alive
        self._sessions = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._unloading: asyncio.Task[None] | None = None
        self.threads = threads
        self._packages = packages
        self._gate = gate
        self._max_queue = max_queue
        self._process: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._turns = asyncio.Lock()
        self._places = 0
        self.on_audio = on_audio
        self.starts = 0
        """How often the process was started."""
        self.busy_seconds = 0.0
        """How long it computed, all requests together."""
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The id of the process, if one runs."""
        return self._process.pid if self._process and not self._process.gone else None

    @property
    def requests(self) -> int:
        """Requests that are served or wait."""
        return self._places

    @contextlib.contextmanager
    def place(self) -> Iterator[Place]:
        """Holds a place in the queue.

        Raises:
            ServiceError: The queue is full.
        """
        self.check_room()
        self._places += 1
        try:
            yield Place(self)
        finally:
            self._places -= 1

    def step_aside(self, count: int) -> None:
        """Gives `count` places free, or takes them back."""
        self._places -= count

    def check_room(self) -> None:
        """Raises `ServiceError` when no further request can be taken."""
        if self._places > self._max_queue:
            raise ServiceError(
                Reason.QUEUE_FULL,
                f"{self._max_queue} requests wait for {self.kind} already; try again later",
                metadata={"limit": str(self._max_queue)},
                retry_after=1.0,
            )

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A stream on the running process, which is started if there is none.

        Raises:
            ServiceError: The packages that the worker needs are not installed.
        """
        self._sessions += 1
        try:
            session = Session(self, await self.running())
            try:
                yield session
            finally:
                # Even when the request was cancelled: the worker must not keep its audio.
                await asyncio.shield(asyncio.ensure_future(session.close()))
        finally:
            self._sessions -= 1
            self._await_idleness()

    async def running(self) -> WorkerProcess:
        """The process, started if there is none. Raises `ServiceError`."""
        self.check_installed()
        async with self._starting:
            if self._closed:
                raise ServiceError(
                    Reason.SERVER_DRAINING, "the server is stopping", retry_after=1.0
                )
            if self._process is None or self._process.gone:
                self._process = await start_process(self.kind, self.threads)
                self.starts += 1
            return self._process

    def check_installed(self) -> None:
        """Raises `ServiceError` when a package that the worker needs is missing."""
        missing = [name for name in self._packages if importlib.util.find_spec(name) is None]
        if missing:
            raise ServiceError(
                Reason.SPEECH_WEIGHTS_MISSING,
                f"{self.kind} needs the package {missing[0]}, which is not installed; run "
                f"{INSTALL_COMMAND} on the server and start it again",
                metadata={"command": INSTALL_COMMAND},
            )

    @contextlib.asynccontextmanager
    async def turn(self, process: WorkerProcess) -> AsyncIterator[None]:
        """Waits until it is this request's turn to compute: first come, first served."""
        async with self._turns, self._gate:
            # What was cancelled last may still be ending.
            await process.settled()
            yield

    def _await_idleness(self) -> None:
        """Ends the process when nobody comes for `keep_alive` seconds from now."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._sessions == 0 and self._keep_alive is not None and not self._closed:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(self._keep_alive, self._expire)

    def _expire(self) -> None:
        process = self._process
        if self._sessions == 0 and process is not None and not process.gone:
            self._process = None
            _log.info("%s was idle and gives its memory back", self.kind)
            self._unloading = asyncio.create_task(process.close())

    async def close(self) -> None:
        """Ends the process, and with it whatever it does."""
        self._closed = True
        self._await_idleness()
        async with self._starting:
            if self._process is not None:
                await self._process.close()
