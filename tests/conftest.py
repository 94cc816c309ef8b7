"""Fixtures that several suites share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sterna_service.app import CoreOptions
from tests.support.core import CoreClient, running_core


@pytest.fixture(scope="session")
def sterna_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory for the whole run, so that the embedded model is packed once."""
    return tmp_path_factory.mktemp("sterna-home")


@pytest.fixture
async def core(sterna_home: Path) -> AsyncIterator[CoreClient]:
    """A core with the embedded model on a free port."""
    async with running_core(CoreOptions(home=sterna_home, port=0)) as client:
        yield client
