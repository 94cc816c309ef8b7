"""Speech to text: recordings, and audio that is still being spoken."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import asdict
from typing import Any

from sterna_service.errors import out_of_range
from sterna_service.speech.models import SpeechModel, SpeechModels
from sterna_service.speech.options import SpeechOptions
from sterna_service.speech.types import (
    Activity,
    Interim,
    LiveFormat,
    RecognitionDone,
    RecognitionEvent,
    RecognitionRequest,
    RecognitionStarted,
    Segment,
    Word,
)
from sterna_service.speech.upload import Upload
from sterna_service.speech.worker import Session, Worker

LONGEST_PROMPT = 4096
# Live audio is looked at in parts of this many seconds, so that messages of any size do.
_LIVE_SECONDS = 0.25
_LONGEST_SILENCE = 60.0


class Recognition:
    """Turns audio into events, one recording after the other."""

    def __init__(self, worker: Worker, models: SpeechModels, options: SpeechOptions) -> None:
        self._worker = worker
        self._models = models
        self._options = options
        # One recording is decoded at a time: each may take hundreds of megabytes.
        self._recording = asyncio.Lock()

    async def transcribe(
        self, request: RecognitionRequest, parts: AsyncIterator[bytes]
    ) -> AsyncGenerator[RecognitionEvent]:
        """Recognises a file: `RecognitionStarted`, segments as they are done, `RecognitionDone`.

        Raises:
            ServiceError: The request is out of range, the file cannot be decoded or is too long,
                the queue is full, or the worker died.
        """
        model = self._checked(request)
        self._worker.check_room()
        with Upload(self._options.max_audio_bytes) as upload:
            await upload.fill(parts, self._options.upload_idle_seconds)
            with self._worker.place():
                async with (
                    self._recording,
                    self._worker.session() as session,
                    contextlib.aclosing(
                        self._recognized(session, model, request, upload)
                    ) as events,
                ):
                    async for event in events:
                        yield event

    async def listen(
        self, request: RecognitionRequest, live: LiveFormat, parts: AsyncIterator[bytes]
    ) -> AsyncGenerator[RecognitionEvent]:
        """Recognises audio while it comes, until `parts` end.

        Voice activity, interim texts when they are wanted, and a segment or more at the end of
        every utterance.

        Raises:
            ServiceError: As `transcribe`.
        """
        model = self._checked(request)
        with self._worker.place():
            async with self._worker.session() as session:
                await self._load(session, model)
                await session.ask(
                    "live_open",
                    options=_options(model, request) | {"voice_activity_filter": False},
                    rate=live.sample_rate,
                    channels=live.channels,
                    interim=live.interim,
                )
                yield RecognitionStarted(
                    _new_id(), model.model_id, request.language, 1.0 if request.language else 0.0
                )
                texts: list[str] = []
                duration = 0.0
                size = int(live.sample_rate * _LIVE_SECONDS) * live.channels * 2
                async with contextlib.aclosing(_blocks(parts, size)) as blocks:
                    async for block in blocks:
                        op = "live_feed" if block else "live_end"
                        async with contextlib.aclosing(session.call(op, data=block)) as messages:
                            async for message in messages:
                                if "event" not in message.header:
                                    duration = message.header["duration"]
                                    continue
                                event = _live_event(message.header, len(texts))
                                if isinstance(event, Segment):
                                    texts.append(event.text)
                                yield event
                        if not block:
                            break
                yield RecognitionDone("".join(texts).strip(), duration, session.busy_seconds)

    async def preload(self) -> None:
        """Starts the worker and loads the configured model. Raises `ServiceError`."""
        model = self._models.find("")
        async with self._worker.session() as session:
            await self._load(session, model)

    def _checked(self, request: RecognitionRequest) -> SpeechModel:
        if len(request.prompt) > LONGEST_PROMPT:
            limit = f"at most {LONGEST_PROMPT} characters long"
            raise out_of_range("config.prompt", limit, len(request.prompt))
        if not 0.0 <= request.temperature <= 1.0:
            raise out_of_range("config.temperature", "0 to 1", request.temperature)
        self._worker.check_installed()
        return self._models.find(request.model)

    async def _load(self, session: Session, model: SpeechModel) -> None:
        await session.ask(
            "load",
            path=str(model.path),
            compute_type=self._options.recognition_compute_type,
            threads=self._worker.threads,
        )

    async def _recognized(
        self, session: Session, model: SpeechModel, request: RecognitionRequest, upload: Upload
    ) -> AsyncGenerator[RecognitionEvent]:
        for part in upload.parts():
            await session.post("feed", part)
        decoded = await session.ask("decode", max_seconds=self._options.max_audio_seconds)
        length = decoded.header["duration"]
        await self._load(session, model)
        begun = await session.ask("begin", options=_options(model, request))
        yield RecognitionStarted(
            _new_id(),
            model.model_id,
            begun.header["language"],
            1.0 if request.language else begun.header["probability"],
        )
        texts: list[str] = []
        while fields := (await session.ask("next")).header.get("segment"):
            # Its last stretch is said to end with the window, beyond the recording.
            for each in (fields, *fields["words"]):
                each["start"], each["end"] = min(each["start"], length), min(each["end"], length)
            segment = _segment(fields, len(texts))
            texts.append(segment.text)
            yield segment
        yield RecognitionDone("".join(texts).strip(), length, session.busy_seconds)


async def _blocks(parts: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes]:
    """Blocks of at most `size` bytes, and an empty one at the end.

    Everything that is there leaves at once; nothing waits to be complete.
    """
    while True:
        try:
            part = await asyncio.wait_for(anext(parts), _LONGEST_SILENCE)
        except (StopAsyncIteration, TimeoutError):
            # Somebody who sends nothing for so long, not even silence, is not there any more.
            yield b""
            return
        for begin in range(0, len(part), size):
            yield part[begin : begin + size]


def _options(model: SpeechModel, request: RecognitionRequest) -> dict[str, Any]:
    return asdict(request) | {"task": request.task.value, "model_id": model.model_id}


def _live_event(header: dict[str, Any], index: int) -> RecognitionEvent:
    match header["event"]:
        case "activity":
            return Activity(header["began"], header["offset"])
        case "interim":
            return Interim(header["text"], header["end"])
        case _:
            return _segment(header["segment"], index)


def _segment(fields: dict[str, Any], index: int) -> Segment:
    words = [Word(**word) for word in fields.pop("words")]
    return Segment(index=index, words=words, **fields)


def _new_id() -> str:
    return uuid.uuid4().hex
