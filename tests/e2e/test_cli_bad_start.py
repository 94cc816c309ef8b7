"""A server that cannot start says why in one line, exits with status 2 and shows no traceback."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess, run_sterna


@contextmanager
def taken_port() -> Iterator[int]:
    """A port of this machine that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why nothing was started."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("sterna: ")]
    assert len(lines) == 1, result.stderr
    assert "Ctrl-C stops the server" not in result.stdout
    return lines[0]


def test_rest_port_in_use(home: Path) -> None:
    with taken_port() as port:
        line = complaint(run_sterna("serve", "--port", str(port), "--grpc-port", "0", home=home))
    assert f"port {port}" in line
    assert "--port" in line


@pytest.mark.parametrize("command", ["serve", "core"])
def test_grpc_port_in_use(command: str, home: Path) -> None:
    rest = ("--port", "0") if command == "serve" else ()
    with taken_port() as port:
        line = complaint(run_sterna(command, *rest, "--grpc-port", str(port), home=home))
    assert f"port {port}" in line
    assert "--grpc-port" in line


def test_two_servers_on_one_port(server: ServerProcess, home: Path) -> None:
    port = server.grpc_address.rpartition(":")[2]
    line = complaint(run_sterna("core", "--grpc-port", port, home=home))
    assert f"port {port}" in line


def test_ports_are_checked_before_the_model_is_loaded(home: Path, tmp_path: Path) -> None:
    with taken_port() as port:
        result = run_sterna(
            "serve", str(tmp_path), "--port", str(port), "--grpc-port", "0", home=home
        )
    assert f"port {port}" in complaint(result)


def test_one_port_for_rest_and_grpc(home: Path) -> None:
    line = complaint(run_sterna("serve", "--port", "18321", "--grpc-port", "18321", home=home))
    assert "18321" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "99999"), ("--port", "65535", "99999")),
        (("--threads", "-1"), ("--threads", "-1")),
        (("--max-batch", "0"), ("--max-batch", "0")),
        (("--grace", "nan"), ("--grace",)),
        (("--log-level", "loud"), ("--log-level", "debug", "loud")),
        (("--host", "no.such.host.invalid"), ("--host", "no.such.host.invalid")),
        (("--host", "203.0.113.7"), ("--host", "203.0.113.7")),
        (("--grpc-host", "203.0.113.7"), ("--grpc-host", "203.0.113.7")),
        (("--config", "/no/such/file.toml"), ("/no/such/file.toml",)),
        (("/no/such/model",), ("/no/such/model",)),
        (("acme/none",), ("acme/none", "sterna/tern-nano")),
    ],
)
def test_bad_flag(arguments: tuple[str, ...], words: tuple[str, ...], home: Path) -> None:
    free = [
        part for flag in ("--port", "--grpc-port") if flag not in arguments for part in (flag, "0")
    ]
    line = complaint(run_sterna("serve", *free, *arguments, home=home))
    for word in words:
        assert word in line


def test_bad_variable_is_named(home: Path) -> None:
    line = complaint(run_sterna("serve", home=home, STERNA_PORT="eighty"))
    assert "STERNA_PORT" in line
    assert "eighty" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 8000", ("prot", "did you mean port")),
        ("port = 'x'", ("port", "'x'")),
        ("port = ", ("TOML",)),
        ("[aliases]\nfast = 3", ("aliases.fast", "3")),
    ],
)
def test_bad_file_is_named(text: str, words: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    file = tmp_path / "sterna.toml"
    file.write_text(text)
    line = complaint(run_sterna("serve", "--config", str(file), home=home))
    assert str(file) in line
    for word in words:
        assert word in line


def test_damaged_checkpoint(home: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BitNetForCausalLM"]}')
    line = complaint(
        run_sterna("serve", str(tmp_path), "--port", "0", "--grpc-port", "0", home=home)
    )
    assert str(tmp_path) in line
