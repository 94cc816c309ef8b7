"""Fixtures of the parity tests."""

from __future__ import annotations

import os

import pytest

# The matrices are small: threads of numpy would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.parity.fixtures import Workbench


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("parity"))
