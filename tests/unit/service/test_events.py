"""Watchers of events miss none without being told."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from sterna_service.errors import Reason, ServiceError
from sterna_service.models.events import EventKind, EventLog, ServerEvent


async def told(events: AsyncIterator[ServerEvent | None], count: int) -> list[int]:
    """The revisions of the next events, which have to be there."""
    found = [await anext(events) for _ in range(count)]
    return [event.revision for event in found if event is not None]


async def test_a_watcher_that_is_too_slow_is_told_that_it_missed_something() -> None:
    log = EventLog(most_kept=3)
    begin = log.revision
    async with contextlib.aclosing(log.watch(None, (), 60.0)) as events:
        assert await anext(events) is None
        for _ in range(3):
            log.add(EventKind.MODEL_ADDED)
        assert await told(events, 1) == [begin + 1]
        for _ in range(2):
            log.add(EventKind.MODEL_ADDED)
        assert await told(events, 4) == [begin + 2, begin + 3, begin + 4, begin + 5]
        for _ in range(4):
            log.add(EventKind.MODEL_ADDED)
        with pytest.raises(ServiceError) as caught:
            await anext(events)
    assert caught.value.reason is Reason.REVISION_COMPACTED
    assert caught.value.metadata == {"oldest_revision": str(begin + 7)}
