"""Live audio on its way to the recogniser, and what comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from enum import Enum
from typing import Any

from sterna_service.speech import wire
from sterna_service.speech.merging import merged
from sterna_service.speech.types import (
    Activity,
    Interim,
    LiveFormat,
    RecognitionDone,
    RecognitionEvent,
    Segment,
    UtteranceDone,
    Word,
)
from sterna_service.speech.worker import Place, Session

# Live audio is looked at in parts of this many seconds, so that messages of any size do.
_LIVE_SECONDS = 0.25
# Of what was heard, so much may wait to be recognised; the client is not read from beyond it.
_MOST_WAITING_SECONDS = 60.0


class LiveMark(Enum):
    """Among the parts of live audio."""

    COMMIT = "live_commit"
    """The utterance ends here."""
    CLEAR = "live_clear"
    """Forget what was said since the last utterance."""


LivePart = bytes | LiveMark


class Listening:
    """One stream of live audio: what is heard is told at once, texts as they are recognised."""

    def __init__(self, session: Session, live: LiveFormat, place: Place) -> None:
        self._session = session
        self._place = place
        self._block = int(live.sample_rate * _LIVE_SECONDS) * live.channels * 2
        self._due = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._duration = 0.0
        self._texts: list[str] = []

    async def events(
        self, parts: AsyncIterator[LivePart], patience: float | None
    ) -> AsyncGenerator[RecognitionEvent]:
        """Everything that is heard, and `RecognitionDone`. Raises `ServiceError`.

        The audio is at its end, too, when none comes for `patience` seconds.
        """
        both = merged(self._hear(parts, patience), self._recognize())
        async with contextlib.aclosing(both) as events:
            async for event in events:
                yield event
        text = "".join(self._texts).strip()
        self._session.note_audio(self._duration)
        yield RecognitionDone(text, self._duration)

    async def _hear(
        self, parts: AsyncIterator[LivePart], patience: float | None
    ) -> AsyncGenerator[RecognitionEvent]:
        while True:
            try:
                async with asyncio.timeout(patience):
                    part = await anext(parts)
            except (StopAsyncIteration, TimeoutError):
                # Somebody who sends nothing for so long, not even silence, is not there any more.
                break
            if isinstance(part, LiveMark):
                for event in self._noted(await self._session.ask_now(part.value)):
                    yield event
                continue
            for begin in range(0, len(part), self._block):
                await self._room.wait()
                block = part[begin : begin + self._block]
                for event in self._noted(await self._session.ask_now("live_feed", data=block)):
                    yield event
        for event in self._noted(await self._session.ask_now("live_commit", end=True)):
            yield event
        self._ended = True
        self._due.set()

    def _noted(self, answer: wire.Message) -> list[RecognitionEvent]:
        self._duration = answer.header["duration"]
        if answer.header["due"]:
            self._due.set()
        if answer.header["waiting"] > _MOST_WAITING_SECONDS:
            self._room.clear()
        return [
            Activity(fields["began"], fields["offset"]) for _, fields in answer.header["events"]
        ]

    async def _recognize(self) -> AsyncGenerator[RecognitionEvent]:
        while True:
            await self._due.wait()
            self._due.clear()
            # Before the pass: what comes after it is told by another `_due`.
            last = self._ended
            with self._place.back():
                messages = self._session.call("live_recognize")
                async with contextlib.aclosing(messages):
                    async for message in messages:
                        if "event" in message.header:
                            event = _event(message.header, len(self._texts))
                            if isinstance(event, Segment):
                                self._texts.append(event.text)
                            yield event
            self._room.set()
            if last:
                return


def _event(header: dict[str, Any], index: int) -> RecognitionEvent:
    match header["event"]:
        case "interim":
            return Interim(header["text"], header["end"])
        case "utterance":
            return UtteranceDone(header["end"])
        case _:
            return segment_of(header["segment"], index)


def segment_of(fields: dict[str, Any], index: int) -> Segment:
    """A segment as the worker tells it."""
    words = [Word(**word) for word in fields.pop("words")]
    return Segment(index=index, words=words, **fields)
