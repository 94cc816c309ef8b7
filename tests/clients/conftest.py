"""A real server for clients that others wrote. scripts/test_clients.sh runs these tests.

The clients live in an environment of their own, which has nothing of this project: what they reach
is what anybody reaches who starts the `sterna` command.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess

PACKAGES = ("instructor", "langchain_openai", "litellm")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]

collect_ignore_glob = ["test_*.py"] if MISSING else []


def pytest_report_header() -> list[str]:
    if not MISSING:
        return []
    return [f"clients: scripts/test_clients.sh runs these tests; here {', '.join(MISSING)} lack"]


@dataclass(frozen=True)
class Running:
    """Where the server is: as OpenAI's clients, Anthropic's and Ollama's take it."""

    url: str
    openai: str
    ollama: str


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    arguments = ["serve", "--port", "0", "--grpc-port", "0", "--listen", "127.0.0.1:0,ollama"]
    with ServerProcess(arguments, home=tmp_path_factory.mktemp("home")) as process:
        (ollama,) = re.findall(r"^ +(http://[0-9.:]+)$", process.output, re.MULTILINE)
        yield Running(process.rest_url, f"{process.rest_url}/v1", ollama)
        assert "Traceback" not in process.output


@pytest.fixture(scope="session")
def node_directory() -> Path:
    """Where the packages of npm and the programs that use them are."""
    return Path(__file__).parents[2] / "build" / "clients-node"
