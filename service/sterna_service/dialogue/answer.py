"""One answer: generated, and spoken sentence by sentence while it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace

from sterna_service.dialogue.memory import shortened
from sterna_service.dialogue.outbox import Outbox
from sterna_service.dialogue.playback import Playback
from sterna_service.dialogue.types import DialogueConfig, DialogueEvent, Generate, TurnDone
from sterna_service.errors import Reason, ServiceError
from sterna_service.inference.events import Delta, GenerationEvent, Started, Usage
from sterna_service.inference.spec import ChatPrompt, Message
from sterna_service.speech.merging import merged
from sterna_service.speech.synthesis import Synthesis
from sterna_service.speech.types import (
    AudioPart,
    Encoding,
    PieceBegun,
    PieceSpoken,
    SynthesisEvent,
    SynthesisStarted,
)

_BYTES_PER_SAMPLE = 2


class Answer:
    """The answer to one turn. Cancelling `run` ends the work in the engine and in the worker."""

    def __init__(
        self,
        config: DialogueConfig,
        messages: Sequence[Message],
        generate: Generate,
        synthesis: Synthesis,
        outbox: Outbox[DialogueEvent],
    ) -> None:
        self._config = config
        self._messages = list(messages)
        self._generate = generate
        self._synthesis = synthesis
        self._outbox = outbox
        self._playback = Playback()
        self._bytes_per_second = 0.0
        self._coded = 0.0
        self._texts: list[str] = []
        self._unspoken: asyncio.Queue[str | None] = asyncio.Queue()
        self.complete = False
        """Whether all of it was sent."""

    @property
    def text(self) -> str:
        """All of it that was generated so far."""
        return "".join(self._texts)

    @property
    def playing(self) -> bool:
        """Whether what was sent is still being played, as far as can be known."""
        return time.monotonic() < self._playback.end

    @property
    def playing_seconds(self) -> float:
        """How long what was sent will still be played."""
        return max(0.0, self._playback.end - time.monotonic())

    @property
    def played(self) -> float:
        """Seconds of its audio that were played until now."""
        return self._playback.heard(time.monotonic())

    def heard(self, played: float | None = None) -> str:
        """What of it was heard until now, or in the first `played` seconds of its audio."""
        if self._config.synthesis is None:
            return self.text
        if played is None:
            if self.complete and not self.playing:
                return self.text
            played = self.played
        return self._playback.text(played)

    async def run(self) -> None:
        """Makes it, and puts its events into the outbox. Raises `ServiceError`."""
        usage: Usage | None = None
        sources: list[AsyncGenerator[GenerationEvent | SynthesisEvent]] = [self._generated()]
        if self._config.synthesis is not None:
            sources.append(self._synthesis.speak_stream(self._config.synthesis, self._written()))
        async with contextlib.aclosing(merged(*sources)) as events:
            async for event in events:
                match event:
                    case Started():
                        self._outbox.put(
                            replace(event, session_id=self._config.generation.session_id)
                        )
                    case Delta():
                        self._outbox.put(event)
                    case Usage():
                        usage = event
                    case SynthesisStarted():
                        if event.encoding is Encoding.PCM:
                            rate = event.sample_rate * event.channels
                            self._bytes_per_second = float(rate * _BYTES_PER_SAMPLE)
                        self._outbox.put(event)
                    case AudioPart() if event.data:
                        await self._outbox.put_audio(event, self._sent)
                    case PieceBegun():
                        self._playback.begin_piece(event.text)
                    case PieceSpoken():
                        self._spoken(event)
                    case _:
                        pass
        if usage is None:
            raise ServiceError(Reason.INTERNAL, "the answer ended without its usage")
        self.complete = True
        self._outbox.put(TurnDone(usage))

    async def _generated(self) -> AsyncGenerator[GenerationEvent | SynthesisEvent]:
        """The events of the generation; what does not fit into the context is left out."""
        spec = self._config.generation
        assert isinstance(spec.prompt, ChatPrompt)
        messages: Sequence[Message] = self._messages
        while True:
            # The conversation is kept here: the generation does not know of its session.
            call = replace(spec, session_id="", prompt=replace(spec.prompt, messages=messages))
            try:
                async with contextlib.aclosing(self._generate(call)) as events:
                    async for event in events:
                        if isinstance(event, Delta):
                            self._texts.append(event.text)
                            self._unspoken.put_nowait(event.text)
                        yield event
                self._unspoken.put_nowait(None)
                return
            except ServiceError as error:
                fewer = shortened(messages)
                if error.reason is not Reason.CONTEXT_LENGTH_EXCEEDED or fewer is None:
                    raise
                messages = fewer

    async def _written(self) -> AsyncIterator[str]:
        while (text := await self._unspoken.get()) is not None:
            yield text

    def _sent(self, part: AudioPart) -> None:
        if self._bytes_per_second:
            self._playback.deliver(len(part.data) / self._bytes_per_second, time.monotonic())

    def _spoken(self, piece: PieceSpoken) -> None:
        if not self._bytes_per_second:
            # Of coded audio only the length of whole pieces is known.
            self._playback.deliver(piece.end - self._coded, time.monotonic())
            self._coded = piece.end
        self._playback.end_piece(piece.text, piece.end)
