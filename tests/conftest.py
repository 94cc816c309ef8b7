"""Fixtures that several suites share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import sterna_service.models
from sterna_service.app import CoreOptions
from tests.support.core import CoreClient, endless_checkpoint, running_core


@pytest.fixture(scope="session")
def sterna_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory for the whole run, so that the embedded model is packed once."""
    return tmp_path_factory.mktemp("sterna-home")


@pytest.fixture
async def core(sterna_home: Path) -> AsyncIterator[CoreClient]:
    """A core with the embedded model on a free port."""
    async with running_core(CoreOptions(home=sterna_home, port=0)) as client:
        yield client


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The directory of a model whose answers can go on for a very long time."""
    embedded = Path(sterna_service.models.__file__).parent / "embedded"
    return str(endless_checkpoint(embedded, tmp_path_factory.mktemp("models") / "endless"))


@pytest.fixture
async def endless_core(sterna_home: Path, endless_model: str) -> AsyncIterator[CoreClient]:
    """A core with that model on a free port."""
    async with running_core(CoreOptions(home=sterna_home, port=0, model=endless_model)) as client:
        yield client
