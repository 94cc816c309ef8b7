"""Whoever goes away, or runs out of time, leaves nothing behind in the engine."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from sterna.v1 import generation_pb2, inference_pb2, inference_pb2_grpc
from sterna_service.app import CoreOptions
from tests.support.core import (
    ENDLESS,
    PATIENCE,
    CoreClient,
    Refusal,
    chat,
    connect,
    endless_answer,
    eventually,
    refusal,
    running_core,
)


async def is_idle(core: CoreClient) -> bool:
    engine = await core.engine()
    return (engine.running_count, engine.waiting_count, engine.kv_block_used_count) == (0, 0, 0)


async def wait_idle(core: CoreClient) -> None:
    async def idle() -> bool:
        return await is_idle(core)

    await eventually(idle)


@pytest.fixture
async def slow_core(sterna_home: Path, endless_model: str) -> AsyncIterator[CoreClient]:
    """One sequence at a time, and room for two to wait."""
    options = CoreOptions(
        home=sterna_home, port=0, model=endless_model, max_batch=1, max_queue=2, threads=1
    )
    async with running_core(options) as client:
        yield client


async def test_cancelling_a_stream_frees_its_slot(endless_core: CoreClient) -> None:
    call = endless_core.stream(endless_answer(choice_count=2))
    async for event in call:
        if event.WhichOneof("event") == "delta":
            break
    assert (await endless_core.engine()).running_count > 0
    call.cancel()
    await wait_idle(endless_core)
    assert (await endless_core.engine()).generated_token_count < ENDLESS
    assert await call.code() == grpc.StatusCode.CANCELLED


async def test_cancelling_a_whole_answer_frees_its_slot(endless_core: CoreClient) -> None:
    task = asyncio.create_task(endless_core.generate(endless_answer(choice_count=2)))

    async def running() -> bool:
        return (await endless_core.engine()).running_count > 0

    await eventually(running)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await wait_idle(endless_core)
    assert (await endless_core.engine()).generated_token_count < ENDLESS


async def test_a_lost_connection_frees_its_slot(endless_core: CoreClient) -> None:
    async with connect(endless_core.core) as other:
        call = other.stream(endless_answer(choice_count=2))
        async for _ in call:
            break
        assert (await endless_core.engine()).running_count > 0
    await wait_idle(endless_core)
    assert (await endless_core.engine()).generated_token_count < ENDLESS


async def test_a_connection_cut_without_a_word_frees_its_slot(endless_core: CoreClient) -> None:
    async with (
        cuttable(endless_core.core.address) as (address, cut),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        request = inference_pb2.StreamGenerateRequest(spec=endless_answer())
        call = stub.StreamGenerate(request, timeout=PATIENCE)
        stream = call.__aiter__()
        await anext(stream)
        assert (await endless_core.engine()).running_count == 1
        cut()
        await wait_idle(endless_core)
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in stream:
                pass
    assert (await endless_core.engine()).generated_token_count < ENDLESS


@contextlib.asynccontextmanager
async def cuttable(address: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """A way to a server through a relay, and a function that cuts it in two."""
    host, _, port = address.rpartition(":")
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        writers.extend((writer, up_writer))
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    def cut() -> None:
        for writer in writers:
            writer.transport.abort()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", cut
    finally:
        cut()
        server.close()


async def test_a_waiting_request_can_be_cancelled(slow_core: CoreClient) -> None:
    running = slow_core.stream(endless_answer())
    async for _ in running:
        break
    waiting = slow_core.stream(endless_answer())
    # Initial metadata says that it is queued; the engine counts it at its next step.
    await waiting.initial_metadata()

    async def counted() -> bool:
        return (await slow_core.engine()).waiting_count == 1

    await eventually(counted)
    waiting.cancel()

    async def gone() -> bool:
        return (await slow_core.engine()).waiting_count == 0

    await eventually(gone)
    assert (await slow_core.engine()).running_count == 1
    running.cancel()
    await wait_idle(slow_core)


async def test_a_full_queue_refuses_for_now(slow_core: CoreClient) -> None:
    calls = [slow_core.stream(endless_answer()) for _ in range(3)]
    for call in calls:
        await call.initial_metadata()
    refused = await refusal(slow_core.generate(chat("Hi")))
    assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.reason == "QUEUE_FULL"
    assert refused.retry_seconds is not None
    for call in calls:
        call.cancel()
    await wait_idle(slow_core)
    assert (await slow_core.generate(chat("Hello!"))).choices[0].text


async def test_the_clients_deadline_ends_the_work(endless_core: CoreClient) -> None:
    call = endless_core.stream(endless_answer(choice_count=2), timeout=0.05)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await wait_idle(endless_core)
    assert (await endless_core.engine()).generated_token_count < ENDLESS


async def test_the_servers_own_cap_ends_the_work(sterna_home: Path, endless_model: str) -> None:
    options = CoreOptions(home=sterna_home, port=0, model=endless_model, max_call_seconds=0.05)
    async with running_core(options) as core:
        call = core.stream(endless_answer(choice_count=2))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        refused = Refusal.of(caught.value)
        assert refused.code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert refused.reason == "DEADLINE_EXCEEDED"
        assert refused.metadata == {"limit": "0.05"}
        await wait_idle(core)


async def test_a_client_that_does_not_read_is_no_burden(endless_core: CoreClient) -> None:
    call = endless_core.stream(endless_answer(choice_count=2))
    await call.initial_metadata()
    assert (await endless_core.generate(chat("Hello!"))).choices[0].text
    call.cancel()
    await wait_idle(endless_core)


QUESTIONS = [
    "What is the capital of France?",
    "What is the capital of Spain?",
    "Who are you?",
    "What is the symbol of gold?",
    "Tell me a story about a dog.",
    "Hello!",
    "What is the capital of Kenya? Please.",
    "Tell me a story.",
]


async def test_sixteen_streams_with_random_disconnects(core: CoreClient) -> None:
    """Greedy answers beside others, some of which vanish, are those given alone."""
    stop = generation_pb2.StopCriteria(max_tokens=120)
    specs = {question: chat(question, stop=stop) for question in QUESTIONS}
    alone = {
        question: (await core.generate(spec)).choices[0].text for question, spec in specs.items()
    }
    # The generator decides when clients vanish, not what is answered.
    dice = random.Random(20)

    async def stream(question: str, leave_after: int | None) -> str | None:
        async with connect(core.core) as client:
            text, count = "", 0
            async for event in client.stream(specs[question]):
                if event.HasField("delta"):
                    text += event.delta.text
                    count += 1
                    if leave_after is not None and count >= leave_after:
                        return None
            return text

    async def visitor(number: int) -> int:
        complete = 0
        for round in range(4):
            question = QUESTIONS[(number + round) % len(QUESTIONS)]
            leave_after = dice.choice([None, None, 1, 3, 10])
            text = await asyncio.wait_for(stream(question, leave_after), PATIENCE)
            if text is not None:
                assert text == alone[question]
                complete += 1
        return complete

    async with asyncio.TaskGroup() as group:
        visitors = [group.create_task(visitor(number)) for number in range(16)]
    assert sum(task.result() for task in visitors) >= 16
    await wait_idle(core)
    status = await core.status()
    assert status.active_call_count == 0
