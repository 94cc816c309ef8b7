"""How a response that is being written ends when its client leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sterna_rest.http import disconnect
from sterna_rest.http.disconnect import write_unless_client_leaves


async def gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def stays() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_work_that_on_close_ends_is_not_cancelled() -> None:
    closed, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await closed.wait()
        ended.set()

    await write_unless_client_leaves(gone, work(), closed.set)
    assert ended.is_set()


async def test_work_that_does_not_end_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnect, "_CLOSING_SECONDS", 0.05)
    closed, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert closed.is_set()
            cancelled.set()
            raise

    await write_unless_client_leaves(gone, work(), closed.set)
    assert cancelled.is_set()


async def test_on_close_runs_after_work_that_ended() -> None:
    closed: list[str] = []

    async def work() -> None:
        assert not closed

    await write_unless_client_leaves(stays, work(), lambda: closed.append("closed"))
    assert closed == ["closed"]


async def test_what_the_work_raises_is_raised() -> None:
    closed = asyncio.Event()

    async def work() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await write_unless_client_leaves(stays, work(), closed.set)
    assert closed.is_set()


async def test_a_broken_connection_is_no_failure() -> None:
    async def work() -> None:
        raise BrokenPipeError

    await write_unless_client_leaves(stays, work(), lambda: None)
