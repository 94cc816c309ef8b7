"""What systemd hears from a server, over a real notification socket."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import FREE_PORTS
from tests.support.server_process import ServerProcess

pytestmark = pytest.mark.e2e


class Manager:
    """A socket as systemd opens it, and what came in."""

    def __init__(self, address: str | bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self.heard: list[str] = []

    def hear(self) -> None:
        """Waits for one more message."""
        self._socket.settimeout(60.0)
        self.heard.append(self._socket.recv(4096).decode())

    def wait_for(self, text: str) -> None:
        """Returns when a message with `text` has come."""
        end = time.monotonic() + 60
        while not any(text in message for message in self.heard):
            assert time.monotonic() < end, self.heard
            self.hear()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


@pytest.mark.parametrize("command", ["serve", "core"])
def test_ready_alive_and_stopping(
    manager: Manager, home: Path, tmp_path: Path, command: str
) -> None:
    flags = list(FREE_PORTS) if command == "serve" else ["--grpc-port", "0"]
    variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with ServerProcess([command, *flags], home=home, **variables) as server:
        where = "http://127.0.0.1:" if command == "serve" else "127.0.0.1:"
        manager.wait_for(f"READY=1\nSTATUS=sterna/tern-nano on {where}")
        alive = manager.heard.count("WATCHDOG=1")
        while manager.heard.count("WATCHDOG=1") < alive + 2:
            manager.hear()
        assert not any("STOPPING" in message for message in manager.heard)
        server.process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert server.process.wait(60) == 0


def test_an_abstract_socket(home: Path) -> None:
    name = f"sterna-test-{time.monotonic_ns()}"
    manager = Manager(b"\0" + name.encode())
    try:
        variables = {"NOTIFY_SOCKET": f"@{name}"}
        with ServerProcess(["rest", "--port", "0"], home=home, **variables):
            manager.wait_for("READY=1")
        # Without WATCHDOG_USEC nobody asked for signs of life.
        manager.wait_for("STOPPING=1")
        assert not any("WATCHDOG" in message for message in manager.heard)
    finally:
        manager.close()


def test_a_manager_that_is_gone_is_no_problem(home: Path, tmp_path: Path) -> None:
    variables = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "400000"}
    with ServerProcess(["serve", *FREE_PORTS], home=home, **variables) as server:
        assert httpx.get(f"{server.rest_url}/livez").status_code == 200
        server.wait_for_output("the service manager cannot be told", 30)
