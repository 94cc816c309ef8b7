"""Fixtures that several suites share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import sterna_service.models
from sterna_service.app import CoreOptions
from tests.support.core import CoreClient, endless_checkpoint, running_core
from tests.support.databases import KINDS, new_database

# How long an example takes says more about the machine than about the code.
settings.register_profile("sterna", deadline=None)
settings.load_profile("sterna")


@pytest.fixture(params=KINDS)
def database_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """An empty database of each kind, as `Database.open` takes it."""
    with new_database(request.param, tmp_path) as place:
        yield place


@pytest.fixture
def database_url(database_place: Path | str) -> str:
    """The same for `CoreOptions`: empty for the file in the home directory."""
    return database_place if isinstance(database_place, str) else ""


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
