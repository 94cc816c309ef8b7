"""The model store through the command line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub_server import COMMIT, HubServer, hub_server
from tests.support.server_process import run_sterna

EMBEDDED = Path(__file__).parents[2] / "service/sterna_service/models/embedded"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    shutil.copytree(EMBEDDED, tmp_path / "repository")
    with hub_server() as server:
        server.repositories["org/model"] = tmp_path / "repository"
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_pull_show_verify_quantize_rm(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    size = (EMBEDDED / "model.safetensors").stat().st_size
    hub.cuts = [size // 2]
    pulled = run_sterna("pull", "org/model@main", home=home)
    assert pulled.returncode == 0, pulled.stderr
    assert "org/model is in the store" in pulled.stdout
    assert hub.ranges

    shown = run_sterna("show", "model", home=home)
    assert f"org/model@{COMMIT}" in shown.stdout
    assert "BitNetForCausalLM" in shown.stdout
    assert run_sterna("verify", "model", home=home).returncode == 0

    packed = run_sterna("quantize", "model", home=home)
    assert "packed in" in packed.stdout
    assert "packed already" in run_sterna("quantize", "model", home=home).stdout
    assert len(list((home / "bundles").glob("*.safetensors"))) == 1

    (home / "models/org/model/config.json").write_text("{}")
    changed = run_sterna("verify", "model", home=home)
    assert changed.returncode == 1
    assert "config.json" in changed.stdout

    removed = run_sterna("rm", "org/model", home=home)
    assert removed.returncode == 0, removed.stderr
    assert not list((home / "bundles").glob("*.safetensors"))
    assert run_sterna("show", "model", home=home).returncode == 2


def test_an_interrupted_pull_goes_on(hub: HubServer, tmp_path: Path) -> None:
    size = (EMBEDDED / "model.safetensors").stat().st_size
    hub.refusals = [500] * 6
    failed = run_sterna("pull", "org/model", home=tmp_path)
    assert failed.returncode == 2
    assert "500" in failed.stderr
    assert "Traceback" not in failed.stderr
    hub.refusals, hub.cuts = [], [size // 2]
    assert run_sterna("pull", "org/model", home=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [("org/nobody", "HF_TOKEN"), ("../x", "ORGANISATION/NAME"), ("org/model@v9", "revision")],
)
def test_what_cannot_be_pulled(hub: HubServer, tmp_path: Path, source: str, words: str) -> None:
    result = run_sterna("pull", source, home=tmp_path)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_import(tmp_path: Path) -> None:
    imported = run_sterna("import", str(EMBEDDED), "--id", "me/mine", home=tmp_path)
    assert imported.returncode == 0, imported.stderr
    assert "me/mine" in run_sterna("models", home=tmp_path).stdout
    again = run_sterna("import", str(EMBEDDED), "--id", "me/mine", home=tmp_path)
    assert again.returncode == 2
    assert "already" in again.stderr
    for arguments in (["/nowhere"], [str(tmp_path)], [str(EMBEDDED), "--id", "../x"]):
        refused = run_sterna("import", *arguments, home=tmp_path)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
    assert run_sterna("verify", "tern-nano", home=tmp_path).returncode == 2
    assert run_sterna("rm", "sterna/tern-nano", home=tmp_path).returncode == 2
