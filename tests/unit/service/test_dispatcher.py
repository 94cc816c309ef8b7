"""The dispatcher of webhooks ends when it is told to, whatever happens at that moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sterna_service.state.database import Database
from sterna_service.state.outbox import Outbox
from sterna_service.webhooks.dispatcher import Dispatcher
from sterna_service.webhooks.options import WebhookOptions
from sterna_service.webhooks.target import Sender


@pytest.mark.parametrize("turns", range(6))
async def test_closing_while_it_is_woken(tmp_path: Path, turns: int) -> None:
    database = await Database.open(tmp_path / "state.db")
    sender = Sender(allow_private=True, timeout_seconds=1)
    dispatcher = Dispatcher(Outbox(database), sender, WebhookOptions())
    dispatcher.start()
    await asyncio.sleep(0.2)  # until it naps
    dispatcher.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    closing = asyncio.create_task(dispatcher.close())
    done, _ = await asyncio.wait({closing}, timeout=60)
    assert done
    await database.close()
