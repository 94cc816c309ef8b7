"""Fixtures of the parity tests."""

from __future__ import annotations

import pytest

from tests.parity.fixtures import Workbench


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("parity"))
