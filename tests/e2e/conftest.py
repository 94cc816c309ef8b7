"""Real `sterna` processes for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess

FREE_PORTS = ("--port", "0", "--grpc-port", "0")
# The embedded model answers thousands of tokens in a second, too many for a test that must act in
# the middle of an answer. The reference kernels are plain loops, and hundreds of times slower.
SLOWLY = {"STERNA_KERNELS": "reference"}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory of these tests; the embedded model is packed into it once."""
    return tmp_path_factory.mktemp("sterna-home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[ServerProcess]:
    """`sterna serve` with the embedded model, on free ports."""
    with ServerProcess(["serve", *FREE_PORTS], home=home) as process:
        yield process


@pytest.fixture(scope="module")
def slow_server(home: Path) -> Iterator[ServerProcess]:
    """As `server`, with the slowest kernels and one thread."""
    with ServerProcess(["serve", *FREE_PORTS, "--threads", "1"], home=home, **SLOWLY) as process:
        yield process
