"""The façade in front of the real core with the embedded model, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import openai
import pytest
import pytest_asyncio

from sterna.v1.model_admin_pb2 import GetServerStatusRequest
from sterna.v1.model_admin_pb2_grpc import ModelAdminServiceStub
from sterna.v1.server_status_pb2 import EngineStatus
from sterna_rest.app import FacadeOptions, create_app
from sterna_service.app import CoreOptions, start_core
from tests.support.facade_server import facade_server

if TYPE_CHECKING:
    from sterna.v1.model_admin_pb2_grpc import ModelAdminServiceAsyncStub


@dataclass
class Live:
    """A whole server in the event loop of the test module."""

    url: str
    core_address: str
    unix_address: str
    admin: ModelAdminServiceAsyncStub

    async def engine(self) -> EngineStatus:
        """What the engine does now."""
        response = await self.admin.GetServerStatus(GetServerStatusRequest(), timeout=60)
        return response.status.engines[0]

    async def idle(self, seconds: float = 60) -> EngineStatus:
        """Waits until nothing runs or waits and no KV block is held. Fails when that takes long."""
        async with asyncio.timeout(seconds):
            while True:
                engine = await self.engine()
                if not (engine.running_count or engine.waiting_count or engine.kv_block_used_count):
                    return engine
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    """Tests that use it say `pytestmark = pytest.mark.asyncio(loop_scope="module")`."""
    home = tmp_path_factory.getbasetemp() / "sterna-home"  # packed once for all modules
    core = await start_core(CoreOptions(home=home, port=0, threads=1, max_queue=400))
    try:
        options = FacadeOptions(core_address=core.unix_address)
        async with (
            facade_server(create_app(options)) as url,
            grpc.aio.insecure_channel(core.address) as channel,
        ):
            yield Live(url, core.address, core.unix_address, ModelAdminServiceStub(channel))
    finally:
        await core.stop(0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(live: Live) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client, which does not repeat failures here."""
    async with openai.AsyncOpenAI(
        base_url=f"{live.url}/v1", api_key="unused", max_retries=0, timeout=60
    ) as client:
        yield client
