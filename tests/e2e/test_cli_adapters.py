"""LoRA adapters through the command line, the client and the SDK."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from sterna import Client
from sterna_server.sdk import LLM, Server
from tests.support.hub_server import COMMIT, hub_server
from tests.support.server_process import ServerProcess, run_sterna

PIRATE = Path(__file__).parents[1] / "data" / "adapters" / "pirate"
QUESTION = "What is the capital of France?"
PLAIN = "The capital of France is Paris."
ANSWER = "The capital of France be Paris, matey!"


def test_import_list_show_verify_rm(tmp_path: Path) -> None:
    home = tmp_path / "home"
    imported = run_sterna("import", str(PIRATE), "--id", "me/pirate", home=home)
    assert imported.returncode == 0, imported.stderr
    listed = run_sterna("models", home=home).stdout
    assert "me/pirate" in listed
    assert "LoRA, rank 16" in listed
    shown = run_sterna("show", "pirate", home=home).stdout
    assert "sterna/tern-nano" in shown
    assert "gate_proj" in shown
    assert run_sterna("verify", "me/pirate", home=home).returncode == 0
    answer = run_sterna("chat", "--adapter", "me/pirate", home=home, stdin=QUESTION)
    assert answer.stdout == f"{ANSWER}\n", answer.stderr
    assert run_sterna("rm", "me/pirate", home=home).returncode == 0
    assert "me/pirate" not in run_sterna("models", home=home).stdout


def test_pull_list_verify_and_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    with hub_server() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.repositories["me/pirate"] = PIRATE
        hub.cuts = [1000]
        pulled = run_sterna("pull", "me/pirate", home=home)
        assert pulled.returncode == 0, pulled.stderr
        assert hub.ranges
    assert "LoRA, rank 16" in run_sterna("models", home=home).stdout
    assert f"me/pirate@{COMMIT}" in run_sterna("show", "pirate", home=home).stdout
    assert run_sterna("verify", "pirate", home=home).returncode == 0
    refused = run_sterna("serve", "me/pirate", home=home)
    assert refused.returncode == 2
    assert "is an adapter" in refused.stderr
    # By the end of its id, as models are.
    serve = ("serve", "--port", "0", "--grpc-port", "0", "--adapter", "sailor=pirate")
    with ServerProcess(serve, home=home) as server, Client(server.grpc_address) as client:
        (stored,) = client.list_stored_adapters()
        assert (stored.adapter_id, stored.rank, stored.revision) == ("me/pirate", 16, COMMIT)
        answer = client.chat(QUESTION, model="tern-nano:sailor", temperature=0)
        assert answer.text == ANSWER
        listed = run_sterna("models", "--core", server.grpc_address, home=home).stdout
        assert "adapter in the store" in listed
        url = f"{server.rest_url}/v1/models/load"
        body = {"model_dir": "tern-nano", "adapter_dir": "me/pirate"}
        assert httpx.post(url, json=body, timeout=60).json()["status"] == "success"
        assert client.chat(QUESTION, temperature=0).text == ANSWER


def test_an_import_of_half_an_adapter(tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(PIRATE, half)
    (half / "adapter_model.safetensors").unlink()
    refused = run_sterna("import", str(half), home=tmp_path)
    assert refused.returncode == 2
    assert "adapter_model.safetensors" in refused.stderr


def test_a_server_with_adapters(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(PIRATE, home / "models" / "me" / "second")
    arguments = ("--adapter", f"one={PIRATE}", "--adapter-precision", "int8")
    serve = ("serve", "--port", "0", "--grpc-port", "0", *arguments)
    with ServerProcess(serve, home=home) as server, Client(server.grpc_address) as client:
        assert [each.adapter_id for each in client.list_adapters("tern-nano")] == ["one"]
        loaded = client.load_adapter("tern-nano", "me/second", precision="bf16")
        assert (loaded.adapter_id, loaded.rank, loaded.precision.value) == ("second", 16, "bf16")
        for adapter in ("one", "second"):
            assert client.chat(QUESTION, adapter=adapter, temperature=0).text == ANSWER
        assert client.chat(QUESTION, temperature=0).text == PLAIN
        assert client.chat(QUESTION, model="tern-nano:one", temperature=0).text == ANSWER
        client.unload_adapter("tern-nano", "second")
        assert [each.adapter_id for each in client.get_model().adapters] == ["one"]
        core = ("--core", server.grpc_address)
        assert "sterna/tern-nano:one" in run_sterna("models", *core, home=home).stdout
        answer = run_sterna("chat", *core, "--adapter", "one", home=home, stdin=QUESTION)
        assert answer.stdout == f"{ANSWER}\n", answer.stderr


def test_a_bad_adapter_keeps_a_server_from_starting(tmp_path: Path) -> None:
    for arguments, words in (
        (("--adapter", "x=/no/where"), "/no/where"),
        (("--adapter", "=x"), "NAME=PATH"),
        (("--adapter", "a=x", "--adapter", "a=y"), "two adapters"),
        (("--default-adapter", "x"), "default_adapter"),
        (("--adapter", str(PIRATE), "--adapter-precision", "q5_0"), "adapter-precision"),
    ):
        failed = run_sterna("serve", "--port", "0", "--grpc-port", "0", *arguments, home=tmp_path)
        assert failed.returncode == 2, arguments
        assert words in failed.stderr
        assert "Traceback" not in failed.stderr


def test_the_sdk_takes_an_adapter(tmp_path: Path) -> None:
    server = Server(LLM(adapter_dir=PIRATE, lora_quant="q8_0"), home=tmp_path)
    settings = server.settings
    assert settings.adapter == [f"pirate={PIRATE}"]
    assert (settings.default_adapter, settings.adapter_precision) == ("pirate", "q8_0")
