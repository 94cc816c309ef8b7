"""Speech to text: recordings, and audio that is still being spoken."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import asdict
from typing import Any

from sterna_service.errors import Reason, ServiceError, out_of_range
from sterna_service.speech.listening import Listening, LivePart, segment_of
from sterna_service.speech.merging import merged
from sterna_service.speech.models import SpeechModel, SpeechModels
from sterna_service.speech.options import SpeechOptions
from sterna_service.speech.types import (
    LiveFormat,
    RecognitionDone,
    RecognitionEvent,
    RecognitionRequest,
    RecognitionStarted,
)
from sterna_service.speech.upload import Upload
from sterna_service.speech.worker import Session, Worker

LONGEST_PROMPT = 4096
LONGEST_SILENCE = 60.0
"""Seconds without any live audio, not even silence, after which nobody is there any more."""
# Suggested to who finds every stream of live audio taken.
_RETRY_SECONDS = 5.0


class Recognition:
    """Turns audio into events, one recording after the other."""

    def __init__(self, worker: Worker, models: SpeechModels, options: SpeechOptions) -> None:
        self._worker = worker
        self._models = models
        self._options = options
        # One recording is decoded at a time: each may take hundreds of megabytes.
        self._recording = asyncio.Lock()
        self._listening = 0

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
            # However slowly its client takes the events, the next recording has its turn.
            events = merged(self._in_turn(model, request, upload), most_waiting=0)
            async with contextlib.aclosing(events):
                async for event in events:
                    yield event

    @property
    def listening(self) -> int:
        """Streams of live audio that are open."""
        return self._listening

    def check(self, request: RecognitionRequest) -> None:
        """Raises `ServiceError` when the request is out of range or the model is not here."""
        self._checked(request)

    async def listen(
        self,
        request: RecognitionRequest,
        live: LiveFormat,
        parts: AsyncIterator[LivePart],
        patience: float | None = LONGEST_SILENCE,
    ) -> AsyncGenerator[RecognitionEvent]:
        """Recognises audio while it comes, until `parts` end or none come for `patience` seconds.

        Voice activity as soon as it is noticed, interim texts when they are wanted, a segment or
        more for every utterance, and an `UtteranceDone` after them.

        Raises:
            ServiceError: As `transcribe`.
        """
        model = self._checked(request)
        if self._listening > self._options.max_queue:
            raise ServiceError(
                Reason.QUEUE_FULL,
                f"{self._listening} streams of live audio are open already; try again later",
                metadata={"limit": str(self._options.max_queue + 1)},
                retry_after=_RETRY_SECONDS,
            )
        self._listening += 1
        try:
            with self._worker.place() as place:
                async with self._worker.session() as session:
                    await self._load(session, model)
                    await session.ask(
                        "live_open",
                        options=_options(model, request) | {"voice_activity_filter": False},
                        rate=live.sample_rate,
                        channels=live.channels,
                        interim=live.interim,
                        by_hand=live.by_hand,
                    )
                    yield RecognitionStarted(
                        _new_id(),
                        model.model_id,
                        request.language,
                        1.0 if request.language else 0.0,
                    )
                    with place.aside():
                        stream = Listening(session, live, place)
                        async with contextlib.aclosing(stream.events(parts, patience)) as events:
                            async for event in events:
                                yield event
        finally:
            self._listening -= 1

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

    async def _in_turn(
        self, model: SpeechModel, request: RecognitionRequest, upload: Upload
    ) -> AsyncGenerator[RecognitionEvent]:
        with self._worker.place():
            async with (
                self._recording,
                self._worker.session() as session,
                contextlib.aclosing(self._recognized(session, model, request, upload)) as events,
            ):
                async for event in events:
                    yield event

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
            segment = segment_of(fields, len(texts))
            texts.append(segment.text)
            yield segment
        session.note_audio(length)
        yield RecognitionDone("".join(texts).strip(), length)


def _options(model: SpeechModel, request: RecognitionRequest) -> dict[str, Any]:
    return asdict(request) | {"task": request.task.value, "model_id": model.model_id}


def _new_id() -> str:
    return uuid.uuid4().hex
