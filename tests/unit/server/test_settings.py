"""Where a setting comes from, and what happens to a bad one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sterna_server.commands import core, rest, serve
from sterna_server.settings import ConfigurationError, Settings, load_settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("STERNA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STERNA_HOME", str(tmp_path))


def test_defaults() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.grpc_host, settings.grpc_port) == ("127.0.0.1", 50051)


def test_flags_win_over_variables_over_the_file_over_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("port = 1001\nthreads = 1\nmax_batch = 2\n[aliases]\nfast = 'a/b'\n")
    monkeypatch.setenv("STERNA_PORT", "1002")
    monkeypatch.setenv("STERNA_THREADS", "3")
    settings = load_settings({"port": 1003, "threads": None}, file)
    assert settings.port == 1003
    assert settings.threads == 3
    assert settings.max_batch == 2
    assert settings.aliases == {"fast": "a/b"}
    assert settings.max_queue == 64


def test_the_file_named_by_a_flag_wins_over_the_variable_and_the_home_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, port in (("config", 1), ("variable", 2), ("flag", 3)):
        (tmp_path / f"{name}.toml").write_text(f"port = {port}")
    assert load_settings({}).port == 1
    monkeypatch.setenv("STERNA_CONFIG", str(tmp_path / "variable.toml"))
    assert load_settings({}).port == 2
    assert load_settings({}, tmp_path / "flag.toml").port == 3


def test_home_directory_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({"home": "~/models"}).home == tmp_path / "models"


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("max_queue = -1\ntheads = 2\n")
    monkeypatch.setenv("STERNA_PREFIX_CACHE", "perhaps")
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"grace": -5}, file)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    for source in (f"{file}: max_queue", f"{file}: theads", "STERNA_PREFIX_CACHE", "--grace"):
        assert any(line.startswith(source) for line in lines), lines


@pytest.mark.parametrize("address", ["host:50051", "[::1]:50051", "unix:/run/core.sock", ""])
def test_addresses_of_a_core(address: str) -> None:
    assert load_settings({"core": address}).core == address


@pytest.mark.parametrize("address", ["host", "http://host:8000", "host:http", ":50051", "unix:"])
def test_what_is_no_address_of_a_core(address: str) -> None:
    with pytest.raises(ConfigurationError, match="--core: should be HOST:PORT or unix:/PATH"):
        load_settings({"core": address})


def test_aliases_in_a_variable_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STERNA_ALIASES", '{"gpt-*": "sterna/tern-nano"}')
    assert load_settings({}).aliases == {"gpt-*": "sterna/tern-nano"}
    monkeypatch.setenv("STERNA_ALIASES", "gpt-*")
    with pytest.raises(ConfigurationError, match="STERNA_ALIASES must be a JSON object"):
        load_settings({})


@pytest.mark.parametrize("command", [serve.serve, core.core, rest.rest])
def test_every_option_of_a_server_command_is_a_setting(command: Any) -> None:
    options = set(command.__annotations__) - {"config", "return"}
    assert options <= set(Settings.model_fields)


def test_every_setting_is_an_option_of_serve_or_rest() -> None:
    options = set(serve.serve.__annotations__) | set(rest.rest.__annotations__)
    # Aliases are a table, which a command line cannot hold; the others are for the file.
    for_the_file = {
        "aliases",
        "tokenizers",
        # Other users of the machine see command lines.
        "api_key",
        "database_url",
        "default_max_tokens",
        "default_temperature",
        "default_top_p",
        "hub_token",
        "limits_storage",
        "max_audio_bytes",
        "max_audio_seconds",
        "max_body_bytes",
        "max_connections",
        "client_timeout",
        "search_endpoint",
        "search_private_pages",
        "session_ttl",
        "trace_sample_ratio",
        "answer_ttl",
        "conversation_idle",
        "voice_consent",
        "voice_espeak",
        "voice_keep_alive",
        "voice_queue",
        "voices_dir",
        "whisper_compute_type",
        "webhook_private_targets",
        "webhook_retry_delays",
        "webhook_timeout",
        "whisper_threads",
    }
    assert set(Settings.model_fields) - options == for_the_file


def test_documentation_lists_every_setting() -> None:
    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    for name in Settings.model_fields:
        assert f"`{name}`" in text
