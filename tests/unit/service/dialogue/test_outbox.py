"""Events on their way to the client, and several streams as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from sterna_service.dialogue.outbox import MOST_WAITING_BYTES, MOST_WAITING_EVENTS, Outbox
from sterna_service.speech.merging import merged
from sterna_service.speech.types import AudioPart


async def test_audio_can_be_taken_back_and_the_rest_stays_in_order() -> None:
    outbox: Outbox[str] = Outbox()
    left: list[AudioPart] = []
    outbox.put("a")
    await outbox.put_audio(AudioPart(b"1"), left.append)
    outbox.put("b")
    outbox.drop_audio()
    await outbox.put_audio(AudioPart(b"2"), left.append)
    outbox.close()
    assert [item async for item in outbox.read()] == ["a", "b", AudioPart(b"2")]
    assert left == [AudioPart(b"2")]


async def test_audio_waits_for_a_slow_reader() -> None:
    outbox: Outbox[str] = Outbox()
    await outbox.put_audio(AudioPart(bytes(MOST_WAITING_BYTES)), lambda part: None)
    waiting = asyncio.create_task(outbox.put_audio(AudioPart(b"2"), lambda part: None))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    outbox.put("texts do not wait")
    reading = outbox.read()
    await anext(reading)
    await waiting
    await reading.aclose()


async def test_what_a_client_sends_waits_until_it_reads() -> None:
    outbox: Outbox[int] = Outbox()
    for number in range(MOST_WAITING_EVENTS - 1):
        outbox.put(number)
    await outbox.ready()
    outbox.put(-1)
    waiting = asyncio.create_task(outbox.ready())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    reading = outbox.read()
    await anext(reading)
    await waiting
    outbox.put(-2)
    waiting = asyncio.create_task(outbox.ready())
    await asyncio.sleep(0)
    outbox.close()
    await waiting
    await reading.aclose()


async def test_an_error_comes_after_what_was_there() -> None:
    outbox: Outbox[str] = Outbox()
    outbox.put("a")
    outbox.close(ValueError("broken"))
    reading = outbox.read()
    assert await anext(reading) == "a"
    with pytest.raises(ValueError, match="broken"):
        await anext(reading)


async def counting(
    name: str, most: int, closed: list[str], gate: asyncio.Event | None = None
) -> AsyncGenerator[str]:
    try:
        for number in range(most):
            if gate is not None:
                await gate.wait()
            yield f"{name}{number}"
    finally:
        closed.append(name)


async def test_streams_are_merged_as_they_come() -> None:
    gate, closed = asyncio.Event(), list[str]()
    both = merged(counting("a", 2, closed), counting("b", 2, closed, gate))
    assert [await anext(both), await anext(both)] == ["a0", "a1"]
    gate.set()
    assert [item async for item in both] == ["b0", "b1"]
    assert closed == ["a", "b"]


async def test_an_error_of_one_stream_closes_the_others() -> None:
    async def failing() -> AsyncGenerator[str]:
        yield "x"
        raise ValueError("broken")

    closed: list[str] = []
    both = merged(counting("a", 1, closed, asyncio.Event()), failing())
    assert await anext(both) == "x"
    with pytest.raises(ValueError, match="broken"):
        await anext(both)
    assert closed == ["a"]


async def test_leaving_closes_all() -> None:
    closed: list[str] = []
    both = merged(counting("a", 3, closed), counting("b", 3, closed, asyncio.Event()))
    await anext(both)
    await both.aclose()
    assert sorted(closed) == ["a", "b"]
