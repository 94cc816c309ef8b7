"""From the events of the core to the events of an HTTP stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator

from sterna.v1.generation_event_pb2 import GenerationDelta, GenerationStarted, Usage
from sterna.v1.inference_pb2 import StreamGenerateResponse
from sterna_rest.errors.api_error import internal_error
from sterna_rest.generation.transcode import FINISH_REASONS, sum_of_usage
from sterna_rest.http.sse import DONE


class ChunkEncoder(ABC):
    """Writes the chunks of one endpoint. Every method returns whole SSE events, or nothing."""

    def __init__(self, *, choice_count: int, include_usage: bool) -> None:
        self.choice_count = choice_count
        self.include_usage = include_usage

    @abstractmethod
    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """What comes first for a prompt."""

    @abstractmethod
    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More of one choice."""

    @abstractmethod
    def finish(self, prompt_index: int, choice_index: int, reason: str) -> bytes:
        """The last chunk of one choice."""

    @abstractmethod
    def usage(self, usage: Usage) -> bytes:
        """The chunk that carries the usage. Called once, after every choice ended."""


async def encoded(
    events: AsyncIterator[tuple[int, StreamGenerateResponse]],
    encoder: ChunkEncoder,
    *,
    prompt_count: int,
) -> AsyncGenerator[bytes, None]:
    """The SSE events of a whole answer, `[DONE]` included.

    `events` are those of `prompt_count` calls, each with the index of its prompt. A call that
    ends without having said so is an error: half an answer must not look like a whole one.
    """
    finished = 0
    usages: list[Usage] = []
    async for prompt_index, event in events:
        kind = event.WhichOneof("event")
        chunk = b""
        if kind == "delta":
            chunk = encoder.delta(prompt_index, event.delta)
        elif kind == "started":
            chunk = encoder.begin(prompt_index, event.started)
        elif kind == "finished":
            finished += 1
            reason = FINISH_REASONS[event.finished.finish_reason]
            chunk = encoder.finish(prompt_index, event.finished.choice_index, reason)
        elif kind == "usage":
            usages.append(event.usage)
        if chunk:
            yield chunk
    if finished != prompt_count * encoder.choice_count or len(usages) != prompt_count:
        raise internal_error()
    if encoder.include_usage:
        yield encoder.usage(sum_of_usage(usages))
    yield DONE
