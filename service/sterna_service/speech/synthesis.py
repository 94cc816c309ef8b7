"""Text to speech: whole texts, and text that is still being written."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from sterna_service.errors import invalid, out_of_range
from sterna_service.speech.espeak import ENGINE
from sterna_service.speech.models import SpeechModel, SpeechModels
from sterna_service.speech.options import SpeechOptions
from sterna_service.speech.text import Splitter, checked_text, clean, pieces
from sterna_service.speech.types import (
    AudioPart,
    Encoding,
    PieceBegun,
    PieceSpoken,
    SynthesisDone,
    SynthesisEvent,
    SynthesisRequest,
    SynthesisStarted,
)
from sterna_service.speech.voices import Voices
from sterna_service.speech.worker import Place, Session, Worker

MOST_TEXT_AT_ONCE = 4096
_LARGEST_PART = 64 * 1024

_RATES = (8000, 48_000)
# The rates that every decoder of these formats knows.
_CODED_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_OPUS_RATE = 48_000


class Flush:
    """Among the parts of a text: speak now what came so far."""


class Synthesis:
    """Turns text into coded audio."""

    def __init__(
        self, worker: Worker, models: SpeechModels, voices: Voices, options: SpeechOptions
    ) -> None:
        self._worker = worker
        self._models = models
        self._voices = voices
        self._options = options

    async def speak(self, request: SynthesisRequest, text: str) -> AsyncGenerator[SynthesisEvent]:
        """Speaks a text: `SynthesisStarted`, audio as it is made, `SynthesisDone`.

        Raises:
            ServiceError: The request is out of range, there is no such model or voice, the queue
                is full, or the worker died.
        """
        checked = checked_text(text, self._options.max_text_length, "text")

        async def parts() -> AsyncIterator[str]:
            for piece in pieces(checked):
                yield piece

        async with contextlib.aclosing(self._spoken(request, parts(), len(text))) as events:
            async for event in events:
                yield event

    async def speak_stream(
        self, request: SynthesisRequest, parts: AsyncIterator[str | Flush]
    ) -> AsyncGenerator[SynthesisEvent]:
        """Speaks text as it comes, sentence by sentence. Raises as `speak`."""
        counter = _Counter()
        async with contextlib.aclosing(
            self._spoken(request, _complete_pieces(parts, counter), counter)
        ) as events:
            async for event in events:
                yield event

    async def check(self, request: SynthesisRequest) -> None:
        """Raises `ServiceError` when the request is out of range, or model or voice are missing."""
        await self._checked(request)

    async def preload(self) -> None:
        """Starts the worker and loads the configured model. Raises `ServiceError`."""
        model = self._models.find("")
        async with self._worker.session() as session:
            await session.ask("load", path=str(model.path))

    async def _spoken(
        self, request: SynthesisRequest, texts: AsyncIterator[str], characters: int | _Counter
    ) -> AsyncGenerator[SynthesisEvent]:
        rate, model, voice = await self._checked(request)
        with self._worker.place() as place:
            async with self._worker.session() as session:
                if not voice.espeak:
                    await session.ask("load", path=str(model.path))
                opened = await session.ask(
                    "open",
                    voice=str(voice.file),
                    espeak=voice.espeak,
                    encoding=request.encoding.value,
                    rate=rate,
                    speed=request.speed,
                )
                started = _started(request, model, voice.voice_id, opened.header["rate"])
                async with contextlib.aclosing(_audio(session, texts, place)) as audio:
                    # What cannot be spoken is told before it is said that audio follows.
                    first = await anext(audio)
                    with place.aside():
                        yield started
                        yield first
                    async for part in audio:
                        with place.aside():
                            yield part
                finished = await session.ask("finish")
                for begin in range(0, len(finished.data), _LARGEST_PART):
                    with place.aside():
                        yield AudioPart(finished.data[begin : begin + _LARGEST_PART])
                count = characters if isinstance(characters, int) else characters.count
                duration = finished.header["duration"]
                session.note_audio(duration)
                yield SynthesisDone(duration, count)

    async def _checked(self, request: SynthesisRequest) -> tuple[int, SpeechModel, _Chosen]:
        """The rate in Hz (0: the model's own), the model, and the voice."""
        rate = _checked_rate(request)
        if not 0.25 <= request.speed <= 4.0:
            raise out_of_range("config.speed", "0.25 to 4", request.speed)
        self._worker.check_installed()
        if language := await self._voices.espeak.language(request.voice):
            return rate, SpeechModel(ENGINE, Path()), _Chosen(request.voice, espeak=language)
        model = self._models.find(request.model)
        return rate, model, _Chosen(*await self._voices.find(request.voice, model.path))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A voice: the file of its state, or the language of espeak-ng."""

    voice_id: str
    file: Path = Path()
    espeak: str = ""


async def _audio(
    session: Session, texts: AsyncIterator[str], place: Place
) -> AsyncGenerator[AudioPart | PieceBegun | PieceSpoken]:
    """The audio without its end, piece by piece; at least one event."""
    came = False
    while True:
        with place.aside():
            text = await anext(texts, None)
        if text is None:
            break
        begun = False
        async with contextlib.aclosing(session.call("say", text=text)) as messages:
            async for message in messages:
                last = "event" not in message.header
                if not begun and (message.data or last):
                    came = begun = True
                    yield PieceBegun(text)
                for begin in range(0, len(message.data), _LARGEST_PART):
                    yield AudioPart(message.data[begin : begin + _LARGEST_PART])
                if last:
                    yield PieceSpoken(text, message.header["duration"])
    if not came:
        yield AudioPart(b"")


class _Counter:
    """Characters that were spoken."""

    def __init__(self) -> None:
        self.count = 0


async def _complete_pieces(
    parts: AsyncIterator[str | Flush], counter: _Counter
) -> AsyncGenerator[str]:
    splitter = Splitter()
    async for part in parts:
        if isinstance(part, Flush):
            for piece in splitter.finish():
                yield piece
            continue
        if len(part) > MOST_TEXT_AT_ONCE:
            limit = f"at most {MOST_TEXT_AT_ONCE} characters at a time"
            raise out_of_range("text", limit, len(part))
        counter.count += len(part)
        for piece in splitter.push(clean(part)):
            yield piece
    for piece in splitter.finish():
        yield piece


def _checked_rate(request: SynthesisRequest) -> int:
    """The rate to code at, in Hz; 0 is the model's own."""
    field, rate = "config.sample_rate_hertz", request.sample_rate
    if rate and not _RATES[0] <= rate <= _RATES[1]:
        raise out_of_range(field, f"{_RATES[0]} to {_RATES[1]}", rate)
    if request.encoding is Encoding.OPUS:
        if rate not in (0, _OPUS_RATE):
            raise invalid(field, f"must be {_OPUS_RATE} for Opus, or left out")
        return _OPUS_RATE
    if request.encoding in (Encoding.MP3, Encoding.AAC) and rate and rate not in _CODED_RATES:
        known = ", ".join(map(str, _CODED_RATES))
        raise invalid(field, f"must be one of {known} for {request.encoding.name}")
    return rate


def _started(
    request: SynthesisRequest, model: SpeechModel, voice_id: str, rate: int
) -> SynthesisStarted:
    return SynthesisStarted(uuid.uuid4().hex, model.model_id, voice_id, request.encoding, rate)
