"""A core with tiny speech models. These tests need the extra `voice`: scripts/test_voice.sh."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from sterna.v1 import speech_pb2_grpc
from sterna_rest.app import FacadeOptions, create_app
from sterna_service.app import Core, CoreOptions, start_core
from sterna_service.speech.options import SpeechOptions
from sterna_service.speech.runtime import Speech
from tests.support.facade_server import facade_server
from tests.support.speech import missing_packages, speech_home

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if missing := missing_packages():
        reason = f"needs {', '.join(missing)}; scripts/test_voice.sh runs these tests"
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass
class Live:
    """A core with speech, and a façade before it, in the event loop of the test module."""

    core: Core
    speech: Speech
    channel: grpc.aio.Channel
    stub: speech_pb2_grpc.SpeechServiceAsyncStub
    url: str
    home: Path


@pytest.fixture(scope="session")
def voice_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with models that all modules share."""
    return speech_home(tmp_path_factory.mktemp("voice-home"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(voice_home: Path) -> AsyncIterator[Live]:
    """Tests that use it say `pytestmark = pytest.mark.asyncio(loop_scope="module")`."""
    options = SpeechOptions(
        recognition_model="digits",
        max_queue=2,
        max_audio_seconds=60,
        upload_idle_seconds=2,
    )
    core = await start_core(CoreOptions(home=voice_home, port=0, threads=1, speech=options))
    speech = core._speech
    assert speech is not None
    facade = FacadeOptions(core_address=core.unix_address, body_idle_seconds=2)
    try:
        async with (
            grpc.aio.insecure_channel(core.address) as channel,
            facade_server(create_app(facade)) as url,
        ):
            stub = speech_pb2_grpc.SpeechServiceStub(channel)
            yield Live(core, speech, channel, stub, url, voice_home)
    finally:
        await core.stop(0)
