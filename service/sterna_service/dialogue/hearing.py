"""The person's side of a conversation: audio to the recogniser, and turns from it."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

from sterna_service.dialogue.types import DialogueConfig, UserTurn
from sterna_service.errors import Reason, ServiceError
from sterna_service.speech.listening import LiveMark, LivePart
from sterna_service.speech.recognition import Recognition
from sterna_service.speech.types import (
    LiveFormat,
    RecognitionDone,
    RecognitionEvent,
    RecognitionRequest,
    RecognitionStarted,
    Segment,
    UtteranceDone,
)

# Audio that waits for the recogniser; the client is not read from beyond it.
MOST_WAITING_SECONDS = 30.0

_log = logging.getLogger(__name__)

Told = Callable[[RecognitionEvent | UserTurn | ServiceError], Awaitable[None]]


class Hearing:
    """Listens from the first audio on, and again after a failure. `told` takes what is heard.

    A failure is told once; the audio after it is listened to by a new stream.
    """

    def __init__(self, recognition: Recognition, told: Told) -> None:
        self._recognition = recognition
        self._told = told
        self._parts: collections.deque[LivePart] = collections.deque()
        self._waiting = 0
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._listening: asyncio.Task[None] | None = None
        self._how: tuple[RecognitionRequest, LiveFormat] | None = None
        self._commits = 0
        self._texts: list[str] = []

    @property
    def awaited(self) -> bool:
        """Whether a turn that was committed is not recognised yet."""
        return self._commits > 0

    @property
    def busy(self) -> bool:
        """Whether audio waits to be listened to."""
        return bool(self._parts) or self.awaited

    async def feed(self, config: DialogueConfig, audio: bytes) -> None:
        """Takes audio, once there is room for it."""
        if not audio:
            return
        await self._listen(config)
        live = config.live
        limit = int(MOST_WAITING_SECONDS * live.sample_rate) * live.channels * 2
        while self._waiting >= limit and not self._done:
            self._room.clear()
            await self._room.wait()
        self._put(audio)

    async def commit(self, config: DialogueConfig) -> None:
        """The turn ends here; it is told in any case, if only as an empty one."""
        await self._listen(config)
        self._commits += 1
        self._put(LiveMark.COMMIT)

    async def clear(self) -> None:
        """Forgets the turn that is being spoken."""
        if self._listening is not None and not self._done:
            self._parts.clear()
            self._waiting = 0
            self._room.set()
            self._put(LiveMark.CLEAR)

    async def finish(self) -> None:
        """No more audio comes: returns when all of it was told."""
        self._ended = True
        self._more.set()
        if self._listening is not None:
            await asyncio.wait([self._listening])

    async def close(self) -> None:
        """Stops to listen."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    @property
    def _done(self) -> bool:
        return self._listening is None or self._listening.done()

    async def _listen(self, config: DialogueConfig) -> None:
        how = (config.recognition, config.live)
        if how != self._how and not self._done:
            await self.finish()
            self._ended = False
        self._how = how
        if self._done:
            self._parts.clear()
            self._waiting = self._commits = 0
            self._texts = []
            self._listening = asyncio.create_task(self._run(*how))

    def _put(self, part: LivePart) -> None:
        self._parts.append(part)
        self._waiting += len(part) if isinstance(part, bytes) else 0
        self._more.set()

    async def _take(self) -> AsyncGenerator[LivePart]:
        while True:
            while self._parts:
                part = self._parts.popleft()
                self._waiting -= len(part) if isinstance(part, bytes) else 0
                self._room.set()
                yield part
            if self._ended:
                return
            self._more.clear()
            await self._more.wait()

    async def _run(self, request: RecognitionRequest, live: LiveFormat) -> None:
        try:
            events = self._recognition.listen(request, live, self._take(), patience=None)
            async with contextlib.aclosing(events):
                async for event in events:
                    await self._note(event)
        except ServiceError as error:
            await self._failed(error)
        except Exception:
            _log.exception("live audio could not be recognised")
            await self._failed(ServiceError(Reason.INTERNAL, "the recognition failed"))
        finally:
            self._room.set()

    async def _failed(self, error: ServiceError) -> None:
        self._commits = 0
        self._texts = []
        await self._told(error)

    async def _note(self, event: RecognitionEvent) -> None:
        match event:
            case RecognitionStarted() | RecognitionDone():
                pass
            case UtteranceDone():
                text = "".join(self._texts).strip()
                self._texts = []
                self._commits = max(0, self._commits - 1)
                await self._told(UserTurn(text))
            case _:
                if isinstance(event, Segment):
                    self._texts.append(event.text)
                await self._told(event)
