"""Several prompts of one HTTP request: a bounded number of calls to the core at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import GenerateResponse, StreamGenerateResponse
from sterna_rest.generation.call import AnswerStream, Generator

# Events that may wait for a slow HTTP client before the calls are no longer read.
_QUEUE_SIZE = 64


async def whole_answers(
    generator: Generator, specs: Sequence[GenerationSpec], concurrency: int
) -> list[GenerateResponse]:
    """The answers in the order of `specs`. The first failure cancels the other calls."""
    if len(specs) == 1:
        return [await generator.whole(specs[0], 0)]
    gate = asyncio.Semaphore(concurrency)

    async def one(index: int, spec: GenerationSpec) -> GenerateResponse:
        async with gate:
            return await generator.whole(spec, index)

    tasks = [asyncio.create_task(one(index, spec)) for index, spec in enumerate(specs)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


class FanOut:
    """The interleaved events of several streaming calls. Whoever makes one must `cancel` it."""

    def __init__(
        self, generator: Generator, specs: Sequence[GenerationSpec], concurrency: int
    ) -> None:
        self._generator = generator
        self._specs = specs
        self._gate = asyncio.Semaphore(concurrency)
        self._queue: asyncio.Queue[tuple[int, StreamGenerateResponse] | BaseException | None] = (
            asyncio.Queue(_QUEUE_SIZE)
        )
        self._first = generator.stream(specs[0], 0)
        self._tasks: list[asyncio.Task[None]] = []

    def cancel(self) -> None:
        """Ends every call."""
        self._first.cancel()
        for task in self._tasks:
            task.cancel()
        # Whoever waits for the next event must not wait for ever.
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(asyncio.CancelledError())

    async def accepted(self) -> None:
        """Returns when the core has queued the first prompt; raises `ApiError` when it refuses."""
        await self._first.accepted()

    async def events(self) -> AsyncGenerator[tuple[int, StreamGenerateResponse], None]:
        """Every event with the index of its prompt. Raises the first failure of any call."""
        if len(self._specs) == 1:
            async for event in self._first.events():
                yield 0, event
            return
        self._tasks = [
            asyncio.create_task(self._pump(index, spec)) for index, spec in enumerate(self._specs)
        ]
        running = len(self._tasks)
        while running:
            item = await self._queue.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item

    async def _pump(self, index: int, spec: GenerationSpec) -> None:
        stream: AnswerStream | None = None
        async with self._gate:
            try:
                stream = self._first if index == 0 else self._generator.stream(spec, index)
                async for event in stream.events():
                    await self._queue.put((index, event))
                await self._queue.put(None)
            except Exception as error:
                await self._queue.put(error)
            finally:
                if stream is not None:
                    stream.cancel()
