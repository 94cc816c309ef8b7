"""From the events of the core to the events of an HTTP stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator

from sterna.v1.generation_event_pb2 import (
    ChoiceFinished,
    GenerationDelta,
    GenerationProgress,
    GenerationStarted,
    Usage,
)
from sterna.v1.inference_pb2 import StreamGenerateResponse
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import internal_error
from sterna_rest.generation.transcode import FINISH_REASONS, sum_of_usage
from sterna_rest.http.sse import COMMENT, DONE, error_event


class EventEncoder(ABC):
    """Writes the events of one endpoint. Every method returns whole SSE events, or nothing."""

    choice_count = 1
    keepalive = COMMENT
    """What leaves when there is nothing to say."""
    media_type = "text/event-stream"

    @abstractmethod
    def begin(self, prompt_index: int, started: GenerationStarted) -> bytes:
        """What comes first for a prompt."""

    @abstractmethod
    def delta(self, prompt_index: int, delta: GenerationDelta) -> bytes:
        """More of one choice."""

    @abstractmethod
    def finished(self, prompt_index: int, finished: ChoiceFinished) -> bytes:
        """The end of one choice."""

    def progress(self, prompt_index: int, progress: GenerationProgress) -> bytes:
        """What a harness is doing; most streams do not show it."""
        return b""

    async def complete(self) -> None:  # noqa: B027  (most streams wait for nothing)
        """What must have happened before the end of a success is told. May raise `ApiError`."""

    @abstractmethod
    def end(self, usage: Usage) -> bytes:
        """The end of a stream that succeeded. Called once, after every choice ended."""

    def error(self, error: ApiError) -> bytes:
        """The end of a stream that failed."""
        return error_event(error)


class ChunkEncoder(EventEncoder):
    """Writes the chunks of OpenAI's chat and text completions."""

    def __init__(self, *, choice_count: int, include_usage: bool) -> None:
        self.choice_count = choice_count
        self.include_usage = include_usage

    @abstractmethod
    def finish(self, prompt_index: int, choice_index: int, reason: str) -> bytes:
        """The last chunk of one choice."""

    @abstractmethod
    def usage(self, usage: Usage) -> bytes:
        """The chunk that carries the usage."""

    def finished(self, prompt_index: int, finished: ChoiceFinished) -> bytes:
        reason = FINISH_REASONS[finished.finish_reason]
        return self.finish(prompt_index, finished.choice_index, reason)

    def end(self, usage: Usage) -> bytes:
        return (self.usage(usage) if self.include_usage else b"") + DONE


async def encoded(
    events: AsyncIterator[tuple[int, StreamGenerateResponse]],
    encoder: EventEncoder,
    *,
    prompt_count: int,
) -> AsyncGenerator[bytes, None]:
    """The SSE events of a whole answer, its end included.

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
        elif kind == "progress":
            chunk = encoder.progress(prompt_index, event.progress)
        elif kind == "finished":
            finished += 1
            chunk = encoder.finished(prompt_index, event.finished)
        elif kind == "usage":
            usages.append(event.usage)
        if chunk:
            yield chunk
    if finished != prompt_count * encoder.choice_count or len(usages) != prompt_count:
        raise internal_error()
    await encoder.complete()
    yield encoder.end(sum_of_usage(usages))
