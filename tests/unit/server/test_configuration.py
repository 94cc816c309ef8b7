"""What `sterna config` prints: sources, secrets, and a file that can be read again."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from sterna_server.cli import app
from sterna_server.configuration import example, toml_value
from sterna_server.masking import MASK, is_secret, masked
from sterna_server.settings import Settings, load_settings, sections, unknown_variables


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("STERNA_") or name in ("HF_TOKEN", "SEARCH_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STERNA_HOME", str(tmp_path))


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["config", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_setting_has_its_value_and_its_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("threads = 3\n[aliases]\n'gpt-*' = 'a/b'\n")
    monkeypatch.setenv("STERNA_PORT", "1234")
    printed = json.loads(_run("--json", "--config", str(file), "--max-batch", "5"))
    assert set(printed) == set(Settings.model_fields) | {"HF_TOKEN", "SEARCH_API_KEY"}
    of = {name: (entry["value"], entry["source"]) for name, entry in printed.items()}
    assert of["threads"] == (3, str(file))
    assert of["aliases"] == ({"gpt-*": "a/b"}, str(file))
    assert of["port"] == (1234, "STERNA_PORT")
    assert of["max_batch"] == (5, "--max-batch")
    assert of["max_queue"] == (64, "default")
    assert printed["max_batch"]["section"] == "engine"


def test_what_is_printed_can_be_read_as_a_file(tmp_path: Path) -> None:
    listen = ["--listen", "127.0.0.1:1,ollama", "--listen", "[::1]:2"]
    text = _run("--port", "77", "--no-prefix-cache", "--model-memory", "3KiB", *listen)
    file = tmp_path / "printed.toml"
    file.write_text(text)
    settings = load_settings({}, file)
    assert settings.port == 77
    assert settings.prefix_cache is False
    assert settings.model_memory == 3072
    assert settings.listen == ["127.0.0.1:1,ollama", "[::1]:2"]
    assert settings == load_settings(
        {
            "port": 77,
            "prefix_cache": False,
            "model_memory": "3KiB",
            "listen": ["127.0.0.1:1,ollama", "[::1]:2"],
        }
    )


def test_the_example_holds_every_setting_with_a_meaning_and_its_default(tmp_path: Path) -> None:
    text = example()
    assert tomllib.loads(text) == {}
    lines = text.splitlines()
    uncommented = []
    for section in sections():
        for name in section.model_fields:
            at = next(i for i, line in enumerate(lines) if line.startswith(f"#{name} ="))
            assert lines[at - 1].startswith("# "), f"{name} has no meaning"
            if not lines[at].endswith("="):
                uncommented.append(lines[at][1:])
    file = tmp_path / "example.toml"
    file.write_text("\n".join(uncommented))
    assert load_settings({}, file).model_dump(exclude={"home"}) == load_settings({}).model_dump(
        exclude={"home"}
    )


def test_secrets_are_masked_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STERNA_HUB_TOKEN", "hf_supersecret")
    monkeypatch.setenv("HF_TOKEN", "hf_supersecret")
    monkeypatch.setenv("STERNA_HUB_ENDPOINT", "https://me:hunter2@hub.example/x")
    for text in (_run(), _run("--json"), _run("--defaults")):
        assert "supersecret" not in text
        assert "hunter2" not in text
    assert json.loads(_run("--json"))["hub_token"]["value"] == MASK
    assert f"https://me:{MASK}@hub.example/x" in _run()
    assert "# HF_TOKEN is set" in _run()


def test_what_counts_as_a_secret() -> None:
    assert is_secret(SecretStr)
    assert is_secret(SecretStr | None)
    assert not is_secret(str)
    assert masked({"a": ["postgresql+psycopg://u:p%40ss@h/db", SecretStr("x"), SecretStr("")]}) == {
        "a": [f"postgresql+psycopg://u:{MASK}@h/db", MASK, ""]
    }
    for address, shown in (
        ("no password: http://host/a:b@c", "no password: http://host/a:b@c"),
        ("https://host:8080/x@y", "https://host:8080/x@y"),
        ("postgresql://u:a/b@h/db", f"postgresql://u:{MASK}@h/db"),
        (
            "postgresql://h/db?user=u&password=x&a=b",
            f"postgresql://h/db?user=u&password={MASK}&a=b",
        ),
    ):
        assert masked(address) == shown


def test_a_file_of_it_does_not_take_masks_for_secrets(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        'hub_token = "hf_x"\nport = 77\ndatabase_url = "postgresql://u:pw@h/db"\n'
        'limits_storage = "redis://:pw@h"\n'
    )
    file = tmp_path / "printed.toml"
    file.write_text(_run("--config", str(secrets)))
    settings = load_settings({}, file)
    assert settings.port == 77
    assert MASK not in str(settings.model_dump())
    assert settings.hub_token.get_secret_value() == ""
    assert settings.database_url == ""


def test_a_bad_setting_is_refused_with_a_status() -> None:
    result = CliRunner().invoke(app, ["config", "--grace", "-1"])
    assert result.exit_code != 0


def test_variables_that_are_no_settings_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STERNA_THREDS", "2")
    monkeypatch.setenv("STERNA_KERNELS", "reference")
    monkeypatch.setenv("STERNA_CONFIG", "/nowhere")
    assert unknown_variables() == ["STERNA_THREDS is not a setting; did you mean STERNA_THREADS?"]


@pytest.mark.parametrize(
    "value",
    ['quote " and \\', "tab\tline\n", "ünïcode ☃ \U0001f600", "\x7f", True, 1.5, {"a b": 1}],
)
def test_values_are_toml(value: object) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}
