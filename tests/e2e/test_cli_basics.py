"""What needs no server: help, version, the list of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server_process import run_sterna

COMMANDS = (
    "serve",
    "core",
    "rest",
    "chat",
    "models",
    "pull",
    "import",
    "show",
    "verify",
    "quantize",
    "rm",
    "bench",
    "version",
)


def test_help_lists_every_command(home: Path) -> None:
    result = run_sterna("--help", home=home)
    assert result.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_examples(command: str, home: Path) -> None:
    result = run_sterna(command, "--help", home=home)
    assert result.returncode == 0
    assert f"sterna {command}" in result.stdout.split("Example", 1)[1]


def test_unknown_command_is_a_usage_error(home: Path) -> None:
    result = run_sterna("sevre", home=home)
    assert result.returncode == 2
    assert "sevre" in result.stderr
    assert "Traceback" not in result.stderr


def test_version_names_the_engine(home: Path) -> None:
    result = run_sterna("version", home=home)
    assert result.returncode == 0, result.stderr
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["sterna-server"] == lines["sterna"] == "0.1.0"
    assert "reference" in lines["engine"]


def test_models_lists_the_embedded_model(home: Path) -> None:
    result = run_sterna("models", home=home)
    assert result.returncode == 0, result.stderr
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["MODEL", "PARAMETERS", "WEIGHTS", "CONTEXT", "SIZE", "STATE"]
    assert any(row.startswith("sterna/tern-nano ") and row.endswith("embedded") for row in rows)


def test_models_finds_the_store_and_says_what_is_broken(tmp_path: Path) -> None:
    broken = tmp_path / "models" / "acme" / "broken"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text("{")
    result = run_sterna("models", home=tmp_path)
    assert result.returncode == 0, result.stderr
    (row,) = (line for line in result.stdout.splitlines() if line.startswith("acme/broken"))
    assert "config.json" in row
