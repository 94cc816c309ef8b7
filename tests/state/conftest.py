"""State on every kind of database; see `tests.support.databases`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sterna_service.state.database import Database


@pytest.fixture
async def database(database_place: Path | str) -> AsyncIterator[Database]:
    """An open, empty database."""
    database = await Database.open(database_place)
    yield database
    await database.close()
