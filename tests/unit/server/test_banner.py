"""What the banner says to type can be typed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sterna_server import banner


@pytest.mark.parametrize(
    ("listener", "reachable"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("0.0.0.0:8000", "127.0.0.1:8000"),
        ("[::]:8000", "[::1]:8000"),
        ("10.0.0.5:8000", "10.0.0.5:8000"),
        ("unix:/run/core.sock", "unix:/run/core.sock"),
    ],
)
def test_reachable(listener: str, reachable: str) -> None:
    assert banner.reachable(listener) == reachable


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of programs of an environment whose Python links to that of the system."""
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "python").touch(mode=0o755)
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(tmp_path / "system" / "python")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_service_in_the_root_directory_names_the_whole_path(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir("/")
    assert banner.program("sterna") == str(programs / "sterna")


def test_a_program_of_an_active_environment_has_a_short_name(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(programs))
    assert banner.program("python") == "python"


def test_a_program_of_another_environment_has_its_path(
    programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "system"))
    assert banner.program("python") == "venv/bin/python"
    monkeypatch.chdir(tmp_path / "system")
    assert banner.program("python") == str(programs / "python")
