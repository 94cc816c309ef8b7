"""A spoken conversation with a core, from the client's side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from sterna.v1 import chat_pb2, generation_pb2, recognition_pb2, speech_pb2
from tests.support.speech import spoken

PATIENCE = 120.0
RATE = 8000
SILENCE = bytes(2 * RATE)
"""One second of it."""


def talk_config(**fields: Any) -> speech_pb2.ConversationConfig:
    """Short greedy answers to digits at 8 kHz; `fields` are further ones of the configuration."""
    recognition = recognition_pb2.RecognitionConfig(
        language="en", sample_rate_hertz=RATE, interim_results=True
    )
    config = speech_pb2.ConversationConfig(recognition=recognition, generation=answering(8))
    for name, value in fields.items():
        if hasattr(value, "CopyFrom"):
            getattr(config, name).CopyFrom(value)
        else:
            setattr(config, name, value)
    return config


def answering(tokens: int, **fields: Any) -> generation_pb2.GenerationSpec:
    """Answers of exactly so many tokens."""
    return generation_pb2.GenerationSpec(
        sampling=generation_pb2.SamplingParams(temperature=0),
        stop=generation_pb2.StopCriteria(max_tokens=tokens, ignore_eos=True),
        **fields,
    )


def system(text: str) -> chat_pb2.ChatPrompt:
    """A conversation that begins with instructions."""
    content = [chat_pb2.ContentPart(text=text)]
    return chat_pb2.ChatPrompt(
        messages=[chat_pb2.ChatMessage(role=chat_pb2.ROLE_SYSTEM, content=content)]
    )


def user(text: str) -> chat_pb2.ChatMessage:
    """What a person says."""
    content = [chat_pb2.ContentPart(text=text)]
    return chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, content=content)


class Talk:
    """One call of `Converse`."""

    def __init__(
        self,
        stub: Any,
        config: speech_pb2.ConversationConfig | None = None,
        metadata: tuple[tuple[str, str], ...] | None = None,
    ) -> None:
        self._requests: asyncio.Queue[speech_pb2.ConverseRequest | None] = asyncio.Queue()
        self.send(config=talk_config() if config is None else config)
        self.call = stub.Converse(self._outgoing(), timeout=PATIENCE, metadata=metadata)
        self.events: list[Any] = []

    def send(self, **payload: Any) -> None:
        self._requests.put_nowait(speech_pb2.ConverseRequest(**payload))

    def say(self, *digits: int, silence: bool = True) -> None:
        """Speaks digits, and is silent for a second."""
        audio = spoken(digits) + (SILENCE if silence else b"")
        for begin in range(0, len(audio), 1600):
            self.send(audio=audio[begin : begin + 1600])

    def end(self) -> None:
        """Says nothing more."""
        self._requests.put_nowait(None)

    async def until(self, kind: str) -> Any:
        """The next event of a kind; those before it go to `events`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self.call.read()
                assert event is not grpc.aio.EOF, (
                    f"the conversation ended before {kind}: {self.kinds()}"
                )
                self.events.append(event)
                if event.WhichOneof("event") == kind:
                    return getattr(event, kind)

    async def rest(self) -> list[Any]:
        """All further events."""
        async with asyncio.timeout(PATIENCE):
            while (event := await self.call.read()) is not grpc.aio.EOF:
                self.events.append(event)
        return self.events

    def kinds(self) -> list[str]:
        return [event.WhichOneof("event") for event in self.events]

    def all(self, kind: str) -> list[Any]:
        return [getattr(e, kind) for e in self.events if e.WhichOneof("event") == kind]

    def audio_seconds(self) -> float:
        return len(b"".join(self.all("audio"))) / 48_000

    async def _outgoing(self) -> AsyncIterator[speech_pb2.ConverseRequest]:
        while (request := await self._requests.get()) is not None:
            yield request
