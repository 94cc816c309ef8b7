"""Several servers on one database: who migrates, who answers, who delivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from sterna_service.errors import Reason, ServiceError
from sterna_service.inference.sessions import Sessions
from sterna_service.inference.spec import Message
from sterna_service.state.database import Database
from sterna_service.state.locks import PostgresLocks, locks_of
from sterna_service.state.outbox import Claim, Notice, Outbox, Outcome
from sterna_service.state.sessions import SqlSessionRepository
from sterna_service.state.webhooks import WebhookRecord, WebhookRepository
from tests.support.core import eventually

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=10)
HELLO = Message("user", "Hello!")


@asynccontextmanager
async def servers(place: Path | str, count: int) -> AsyncIterator[list[Database]]:
    """Databases that are opened at the same moment."""
    opened = await asyncio.gather(*(Database.open(place) for _ in range(count)))
    try:
        yield list(opened)
    finally:
        for each in opened:
            await each.close()


async def hooks(database: Database, *names: str) -> None:
    repository = WebhookRepository(database)
    for name in names:
        record = WebhookRecord(name, f"http://example.com/{name}", ("model.started",), NOW)
        assert await repository.create(record, "whsec_AAAA", 100)


async def claim(outbox: Outbox, now: datetime = NOW, **changes: object) -> Claim:
    limits: dict[str, object] = {"most": 100, "most_each": 4, "without": ()} | changes
    return await outbox.claim(now, lease=LEASE, latest=timedelta(days=2), **limits)  # type: ignore[arg-type]


def notices(count: int) -> list[Notice]:
    return [Notice("model.started", number, "{}") for number in range(count)]


async def test_servers_that_start_together_migrate_once(database_place: Path | str) -> None:
    async with servers(database_place, 6) as databases:
        query = sa.text("SELECT count(*) FROM alembic_version")
        for each in databases:
            assert await each.read(lambda connection: connection.scalar(query)) == 1


async def test_one_server_at_a_time_uses_a_session(database_place: Path | str) -> None:
    async with servers(database_place, 2) as (one, two):
        first, second = (
            Sessions(SqlSessionRepository(each), timedelta(hours=1), locks=locks_of(each))
            for each in (one, two)
        )
        await first.create("a", "", [], None)
        async with first.turn("a") as turn:
            if one.place.is_postgres:
                # Before it does any work.
                with pytest.raises(ServiceError) as caught:
                    async with second.turn("a"):
                        raise AssertionError("two have it")
            else:
                # SQLite notices when it would write.
                async with second.turn("a") as other:
                    await turn.commit([HELLO])
                    with pytest.raises(ServiceError) as caught:
                        await other.commit([HELLO])
            assert caught.value.reason is Reason.SESSION_BUSY
            if not turn.over:
                await turn.commit([HELLO])
        async with second.turn("a") as turn:
            assert turn.messages == [HELLO]
            await turn.commit([HELLO])
        assert len(await first.messages(await first.get("a"))) == 2


async def test_a_server_that_dies_holds_no_session(database_place: Path | str) -> None:
    async with servers(database_place, 2) as (one, two):
        if not one.place.is_postgres:
            return  # nothing is held in a file
        dying, living = PostgresLocks(one), PostgresLocks(two)
        assert await dying.take("a")
        assert not await living.take("a")
        # As when its process is killed: the connection ends without a word.
        assert dying._connection is not None
        dying._connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
        await eventually(lambda: living.take("a"))
        # It notices, and goes on with another connection.
        assert not await dying.take("a")
        await living.give_back("a")
        assert await dying.take("a")
        await dying.close()
        await living.close()


async def test_locks_that_are_many(database: Database) -> None:
    locks = locks_of(database)
    assert all(await asyncio.gather(*(locks.take(str(number)) for number in range(200))))
    await asyncio.gather(*(locks.give_back(str(number)) for number in range(200)))
    await locks.close()


async def test_a_delivery_is_taken_by_one_server(database_place: Path | str) -> None:
    async with servers(database_place, 4) as databases:
        outboxes = [Outbox(each) for each in databases]
        await hooks(databases[0], "a", "b", "c")
        assert await outboxes[0].put(notices(50), NOW) == 150
        taken: list[str] = []
        while True:
            claims = await asyncio.gather(*(claim(each) for each in outboxes))
            found = [each.delivery_id for one in claims for each in one.deliveries]
            if not found:
                break
            for one in claims:
                names = [each.webhook_id for each in one.deliveries]
                assert max(map(names.count, names), default=0) <= 4
            taken += found
        assert len(taken) == len(set(taken)) == 150


async def test_webhooks_that_are_deleted_while_events_come(database: Database) -> None:
    outbox, repository = Outbox(database), WebhookRepository(database)

    async def come_and_go() -> None:
        for number in range(60):
            await hooks(database, f"w{number}")
            await asyncio.sleep(0)
            assert await repository.delete(f"w{number}")

    coming = asyncio.create_task(come_and_go())
    await hooks(database, "stays")
    count = 0
    while not coming.done():
        await outbox.put(notices(1), NOW)
        count += 1
    await coming
    found = 0
    while taken := (await claim(outbox, most_each=100)).deliveries:
        assert {each.webhook_id for each in taken} == {"stays"}
        found += len(taken)
    assert found == count


async def test_what_a_dead_server_took_is_given_back(database: Database) -> None:
    outbox = Outbox(database)
    await hooks(database, "a")
    await outbox.put(notices(1), NOW)
    (first,) = (await claim(outbox)).deliveries
    assert (await claim(outbox)).deliveries == []
    (again,) = (await claim(outbox, NOW + LEASE)).deliveries
    assert again == first


async def test_a_clock_that_was_set_back_delays_nothing(database: Database) -> None:
    outbox = Outbox(database)
    await hooks(database, "a")
    await outbox.put(notices(1), NOW)
    (delivery,) = (await claim(outbox)).deliveries
    later = Outcome(500, "no", NOW + timedelta(days=1))
    await outbox.finish(delivery, later, NOW)
    assert (await claim(outbox)).deliveries == []
    (again,) = (await claim(outbox, NOW - timedelta(days=400))).deliveries
    assert (again.delivery_id, again.attempt_count) == (delivery.delivery_id, 1)


async def test_a_busy_webhook_is_left_out(database: Database) -> None:
    outbox = Outbox(database)
    await hooks(database, "a", "b")
    await outbox.put(notices(1), NOW)
    found = await claim(outbox, without=("a",))
    assert [each.webhook_id for each in found.deliveries] == ["b"]
    assert found.next_time == NOW + LEASE
    assert (await claim(outbox, most=0)).deliveries == []


async def test_who_is_owed_too_much_is_given_up(database: Database) -> None:
    outbox = Outbox(database)
    await hooks(database, "a", "b")
    await outbox.put(notices(10), NOW)
    assert sorted(await outbox.give_up_beyond(9, NOW)) == ["a", "b"]
    assert (await claim(outbox)).deliveries == []
    assert await outbox.put(notices(1), NOW) == 0
    assert await outbox.give_up_beyond(9, NOW) == []


async def test_the_log_is_pruned(database: Database) -> None:
    outbox, repository = Outbox(database), WebhookRepository(database)
    await hooks(database, "a", "b")
    await outbox.put(notices(6), NOW)
    for number in range(6):
        moment = NOW + number * LEASE
        for delivery in (await claim(outbox, moment, most_each=1)).deliveries:
            await outbox.finish(delivery, Outcome(204, ""), moment)
    assert len(await repository.attempts("a", 100, None)) == 6
    # Two are too old, and of the rest three are kept of each.
    assert await repository.prune(NOW + 2 * LEASE, 3) == 6
    kept = await repository.attempts("a", 100, None)
    assert [each.revision for each in kept] == [5, 4, 3]
    assert len(await repository.attempts("b", 100, None)) == 3


async def test_a_deleted_webhook_leaves_nothing(database: Database) -> None:
    outbox, repository = Outbox(database), WebhookRepository(database)
    await hooks(database, "a")
    await outbox.put(notices(2), NOW)
    (first, second) = (await claim(outbox)).deliveries
    await outbox.finish(first, Outcome(204, ""), NOW)
    assert await repository.delete("a")
    await outbox.finish(second, Outcome(204, ""), NOW)
    assert (await claim(outbox, NOW + LEASE)).deliveries == []
    assert await repository.attempts("a", 100, None) == []
