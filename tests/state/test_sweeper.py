"""What has expired is removed, and not because a clock is wrong."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from sterna_service.errors import Reason, ServiceError
from sterna_service.inference.sessions import Sessions
from sterna_service.state.database import Database
from sterna_service.state.sessions import SqlSessionRepository
from sterna_service.state.sweeper import ClockWatch, Sweeper

START = datetime(2030, 1, 1, tzinfo=UTC)


class Time:
    """A clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.now = START
        self.steady = 1000.0

    def pass_by(self, **span: float) -> None:
        self.now += timedelta(**span)
        self.steady += timedelta(**span).total_seconds()

    def watch(self) -> ClockWatch:
        return ClockWatch(lambda: self.now, lambda: self.steady)


def test_a_clock_that_goes_right() -> None:
    time = Time()
    clock = time.watch()
    for _ in range(5):
        time.pass_by(days=10)
        assert clock.read() == time.now
    # Corrections of seconds are none.
    time.now += timedelta(seconds=90)
    assert clock.read() == time.now


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_is_moved_is_not_trusted_for_an_hour(
    days: int, caplog: pytest.LogCaptureFixture
) -> None:
    time = Time()
    clock = time.watch()
    time.now += timedelta(days=days)
    with caplog.at_level(logging.WARNING):
        assert clock.read() is None
    assert "the clock was moved" in caplog.text
    time.pass_by(minutes=59)
    assert clock.read() is None
    time.pass_by(minutes=2)
    assert clock.read() == time.now


async def test_a_clock_set_wrong_costs_no_conversation(database: Database) -> None:
    time = Time()
    sessions = Sessions(SqlSessionRepository(database), timedelta(days=30), lambda: time.now)
    sweeper = Sweeper({"sessions": sessions.purge}, time.watch())
    await sessions.create("a", "", [], None)
    time.now += timedelta(days=365)
    await sweeper.sweep()
    time.pass_by(minutes=30)
    await sweeper.sweep()
    time.now -= timedelta(days=365)
    await sweeper.sweep()
    assert (await sessions.get("a")).session_id == "a"
    # It does expire, once the clock goes right for long enough.
    time.pass_by(days=31)
    await sweeper.sweep()
    time.now -= timedelta(days=31)
    with pytest.raises(ServiceError):
        await sessions.get("a")


async def test_one_sweep_that_fails_does_not_keep_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []
    twice = asyncio.Event()

    async def away(_: datetime) -> None:
        raise ServiceError(Reason.STATE_UNAVAILABLE, "the database is away")

    async def broken(_: datetime) -> None:
        raise KeyError("a bug")

    async def good(_: datetime) -> None:
        done.append("good")
        if len(done) == 2:
            twice.set()

    sweeper = Sweeper({"a": away, "b": broken, "c": good}, seconds=0.01)
    sweeper.start()
    await asyncio.wait_for(twice.wait(), 30)
    await sweeper.close()
    assert "nothing was removed" in caplog.text
    assert "a sweep failed" in caplog.text
