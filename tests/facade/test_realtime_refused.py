"""`/v1/realtime` where there is no conversation: the client is told why, however it begins."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Which of the two directions hears of the refusal first is a matter of chance.
TRIES = 20


@pytest.mark.parametrize(
    "first", [None, {"type": "session.update", "session": {"type": "realtime"}}]
)
async def test_a_server_without_speech_says_so(live: Live, first: dict[str, Any] | None) -> None:
    url = live.url.replace("http", "ws", 1) + "/v1/realtime"
    for _ in range(TRIES):
        async with connect(url) as socket:
            if first is not None:
                await socket.send(json.dumps(first))
            event = json.loads(await socket.recv())
            assert (event["type"], event["error"]["code"]) == ("error", "speech_disabled")
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1011
