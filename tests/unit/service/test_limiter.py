"""Limits without a server: windows, places, bounded memory, a Redis that comes and goes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from sterna_service.access.addresses import (
    client_name,
    is_within,
    parse_networks,
    peer_address,
)
from sterna_service.access.counters import Counters, _BoundedStorage
from sterna_service.access.limiter import Limiter, OverLimitError, Visit
from sterna_service.access.limits import NO_LIMITS, Limits
from sterna_service.errors import Reason, StartupError
from tests.support.redis_server import RedisServer


class Clock:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> Limiter:
    return Limiter(Counters(clock=clock))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


async def refused(limiter: Limiter, client: str, limits: Limits) -> OverLimitError:
    with pytest.raises(OverLimitError) as caught:
        await limiter.enter(client, limits)
    return caught.value


async def test_requests_per_minute(limiter: Limiter, clock: Clock) -> None:
    limits = Limits(requests=3)
    left = []
    for _ in range(3):
        visit = await limiter.enter("ann", limits)
        visit.leave()
        assert visit.requests is not None
        left.append(visit.requests.remaining)
        clock.now += 10
    assert left == [2, 1, 0]
    error = await refused(limiter, "ann", limits)
    assert error.reason is Reason.RATE_LIMITED
    assert error.message == "the limit of 3 requests per minute is reached; try again in 30 s"
    assert error.retry_after == pytest.approx(30, abs=0.1)
    assert error.requests is not None
    assert (error.requests.limit, error.requests.remaining) == (3, 0)
    (await limiter.enter("bob", limits)).leave()
    clock.now += 30
    (await limiter.enter("ann", limits)).leave()


async def test_being_refused_does_not_make_it_longer(limiter: Limiter, clock: Clock) -> None:
    limits = Limits(requests=1)
    (await limiter.enter("ann", limits)).leave()
    for _ in range(59):
        clock.now += 1
        await refused(limiter, "ann", limits)
    clock.now += 1.1
    (await limiter.enter("ann", limits)).leave()


async def test_tokens_are_charged_afterwards(limiter: Limiter, clock: Clock) -> None:
    limits = Limits(tokens=100)
    first = await limiter.enter("ann", limits)
    await limiter.charge(first, 60)
    second = await limiter.enter("ann", limits)
    assert second.tokens is not None
    assert second.tokens.remaining == 40
    # More than was left: nobody knew how long the answer would be.
    await limiter.charge(second, 500)
    error = await refused(limiter, "ann", limits)
    assert "100 tokens per minute" in error.message
    assert error.tokens is not None
    assert error.tokens.remaining == 0
    clock.now += 61
    third = await limiter.enter("ann", limits)
    assert third.tokens is not None
    assert third.tokens.remaining == 100


async def test_what_runs_at_the_same_time(limiter: Limiter) -> None:
    limits = Limits(concurrent=2)
    visits = [await limiter.enter("ann", limits) for _ in range(2)]
    error = await refused(limiter, "ann", limits)
    assert error.reason is Reason.CONCURRENCY_LIMITED
    assert "2 concurrent requests" in error.message
    # A connection waits; it does not run.
    (await limiter.enter("ann", limits, runs=False)).leave()
    (await limiter.enter("bob", limits)).leave()
    visits[0].leave()
    visits[0].leave()
    (await limiter.enter("ann", limits)).leave()
    visits[1].leave()
    assert not limiter._running


async def test_a_refusal_gives_its_place_back(limiter: Limiter) -> None:
    limits = Limits(requests=1, concurrent=1)
    (await limiter.enter("ann", limits)).leave()
    assert (await refused(limiter, "ann", limits)).reason is Reason.RATE_LIMITED
    assert not limiter._running


async def test_streams_of_one_request_share_a_place(limiter: Limiter) -> None:
    limits = Limits(streams=1)
    visit, other = [await limiter.enter("ann", limits) for _ in range(2)]
    limiter.open_stream(visit)
    limiter.open_stream(visit)
    with pytest.raises(OverLimitError, match="1 concurrent streams"):
        limiter.open_stream(other)
    limiter.close_stream(visit)
    with pytest.raises(OverLimitError):
        limiter.open_stream(other)
    limiter.close_stream(visit)
    limiter.open_stream(other)
    limiter.close_stream(other)
    assert not limiter._streams


async def test_many_at_once_are_counted_one_by_one(limiter: Limiter) -> None:
    limits = Limits(requests=50, concurrent=20)

    async def one() -> Visit | None:
        try:
            return await limiter.enter("ann", limits)
        except OverLimitError:
            return None

    found = await asyncio.gather(*(one() for _ in range(200)))
    assert sum(each is not None for each in found) == 20


async def test_memory_is_bounded(clock: Clock) -> None:
    storage = _BoundedStorage(clock, capacity=1000)
    for number in range(20_000):
        clock.now += 0.0001
        await storage.incr(f"10.0.{number}", 60)
    assert len(storage._windows) <= 1000 + 1024
    # Those that were there first are still counted by themselves.
    assert await storage.incr("10.0.5", 60) == 2
    # And when the windows are over, there is room again.
    clock.now += 61
    assert await storage.incr("10.1.0", 60) == 1
    assert "10.1.0" in storage._windows
    assert len(storage._windows) < 100


async def test_the_wall_clock_does_not_matter(
    limiter: Limiter, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(requests=1)
    (await limiter.enter("ann", limits)).leave()
    for jump in (-1e7, 1e7):
        monkeypatch.setattr("time.time", lambda jump=jump: 1.7e9 + jump)
        error = await refused(limiter, "ann", limits)
        assert error.retry_after == pytest.approx(60, abs=0.1)
    clock.now += 60.1
    (await limiter.enter("ann", limits)).leave()


async def test_servers_share_a_redis(redis: RedisServer) -> None:
    limits = Limits(requests=3, tokens=100)
    first, second = (Limiter(Counters(redis.url)) for _ in range(2))
    for limiter in (first, second, first):
        visit = await limiter.enter("ann", limits)
        visit.leave()
    await first.charge(visit, 30)
    error = await refused(second, "ann", limits)
    assert error.reason is Reason.RATE_LIMITED
    assert error.tokens is not None
    assert error.tokens.remaining == 70
    assert 0 < (error.retry_after or 0) <= 60


async def test_without_redis_each_counts_by_itself_until_it_is_back(
    redis: RedisServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    limits = Limits(requests=2)
    limiter = Limiter(Counters(redis.url, clock))
    (await limiter.enter("ann", limits)).leave()
    redis.stop()
    # It is not refused because Redis is gone, and it is still limited.
    for _ in range(2):
        (await limiter.enter("ann", limits)).leave()
    await refused(limiter, "ann", limits)
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    redis.start()
    clock.now += 3
    (await limiter.enter("ann", limits)).leave()
    assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]
    gc.collect()


def test_a_storage_must_be_a_redis() -> None:
    with pytest.raises(StartupError, match="limits_storage"):
        Counters("mysql://localhost")


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:5000", "10.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:[2001:db8::5]:5000", "2001:db8::5"),
        ("unix:", ""),
        ("unix:/run/core.sock", ""),
    ],
)
def test_peers(peer: str, address: str) -> None:
    assert peer_address(peer) == address


def test_an_ipv6_network_is_one_client() -> None:
    assert client_name("2001:db8::5") == client_name("2001:db8::ffff:1") == "2001:db8::/64"
    assert client_name("2001:db8:0:1::5") != client_name("2001:db8::5")
    assert client_name("10.0.0.1") == client_name("::ffff:10.0.0.1") == "10.0.0.1"
    assert client_name("nonsense") == "unknown"


def test_networks() -> None:
    networks = parse_networks(["10.0.0.0/8", "::1", "192.0.2.7"])
    assert is_within("10.1.2.3", networks)
    assert is_within("::ffff:10.1.2.3", networks)
    assert is_within("::1", networks)
    assert not is_within("192.0.2.8", networks)
    assert not is_within("nonsense", networks)
    with pytest.raises(ValueError):
        parse_networks(["ten"])


def test_limits_over_others() -> None:
    assert Limits(requests=0, tokens=5).over(Limits(requests=9, streams=2)) == Limits(
        requests=0, tokens=5, streams=2
    )
    assert NO_LIMITS.over(NO_LIMITS) == NO_LIMITS
    with pytest.raises(ValueError, match="requests must be 0"):
        Limits(requests=-1)
