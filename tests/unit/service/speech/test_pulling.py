"""Speech weights from a hub: what comes, where it goes, and what is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sterna_service.errors import Reason, ServiceError
from sterna_service.models.hub import Hub
from sterna_service.speech import pulling
from sterna_service.speech.catalogue import CATALOGUE, Kind, Weights
from sterna_service.speech.models import SpeechModels
from tests.support.hub_server import TOKEN, HubServer, hub_server

UNGATED = "kyutai/pocket-tts-without-voice-cloning"
GATED = "kyutai/pocket-tts"
CONFIG = """
weights_path: hf://kyutai/pocket-tts/languages/english/model.safetensors@{c}
weights_path_without_voice_cloning: hf://{u}/languages/english/model.safetensors@{d}
flow_lm:
  lookup_table:
    tokenizer_path: hf://{u}/languages/english/tokenizer.model@{d}
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with hub_server() as server:
        whisper = tmp_path / "hub" / "whisper"
        whisper.mkdir(parents=True)
        for name in ("config.json", "model.bin", "tokenizer.json", "README.md", "evil.py"):
            (whisper / name).write_text(f"{name} of whisper")
        server.repositories["Systran/faster-whisper-base"] = whisper
        for repository in (UNGATED, GATED):
            root = tmp_path / "hub" / repository.rpartition("/")[2] / "languages" / "english"
            (root / "embeddings").mkdir(parents=True)
            (root / "model.safetensors").write_text(f"weights of {repository}")
            (root / "tokenizer.model").write_text("pieces")
            for voice in ("alba", "marius", "somebody_else"):
                (root / "embeddings" / f"{voice}.safetensors").write_text(voice)
            server.repositories[repository] = root.parents[1]
        server.gated.add(GATED)
        yield server


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for the installed package's configuration file."""
    path = tmp_path / "english.yaml"
    path.write_text(CONFIG.format(c="c" * 40, d="d" * 40, u=UNGATED))
    monkeypatch.setattr(pulling, "_config_path", lambda weights: path)


def pull(
    hub: HubServer, home: Path, name: str, *, cloning: bool = False, token: str | None = None
) -> Path:
    weights: Weights = CATALOGUE[name]
    client = Hub(hub.url, token, first_pause_seconds=0.01)
    return pulling.pull_weights(
        weights,
        home,
        client,
        cloning=cloning,
        report=lambda name, received, total: None,
        cancelled=threading.Event(),
    )


def test_a_whisper_comes_with_what_it_needs_and_nothing_else(
    hub: HubServer, tmp_path: Path
) -> None:
    folder = pull(hub, tmp_path, "base")
    assert folder == tmp_path / "speech" / "recognition" / "base"
    assert sorted(path.name for path in folder.iterdir()) == [
        "bundle.json",
        "config.json",
        "model.bin",
        "tokenizer.json",
    ]
    assert SpeechModels(Kind.RECOGNITION, tmp_path, "base").find("").path == folder
    notes = json.loads((folder / "bundle.json").read_text())
    assert notes["licence"] == "MIT"
    assert notes["sources"] == [f"Systran/faster-whisper-base@{'a' * 40}"]
    sent = hub.sent_bytes
    assert pull(hub, tmp_path, "base") == folder
    assert hub.sent_bytes == sent


@pytest.mark.usefixtures("configuration")
def test_a_bundle_holds_the_pinned_files_and_the_predefined_voices(
    hub: HubServer, tmp_path: Path
) -> None:
    folder = pull(hub, tmp_path, "english")
    assert (folder / "model.safetensors").read_text() == f"weights of {UNGATED}"
    assert (folder / "tokenizer.model").read_text() == "pieces"
    voices = sorted(path.name for path in (folder / "voices").iterdir())
    assert voices == ["alba.safetensors", "marius.safetensors"]
    notes = json.loads((folder / "bundle.json").read_text())
    assert notes["voice_cloning"] is False
    assert notes["sources"] == [f"{UNGATED}@{'d' * 40}"]
    assert SpeechModels(Kind.SYNTHESIS, tmp_path, "english").find("tts-1").path == folder


@pytest.mark.usefixtures("configuration")
def test_weights_that_clone_are_gated_and_replace_the_others(
    hub: HubServer, tmp_path: Path
) -> None:
    pull(hub, tmp_path, "english")
    with pytest.raises(ServiceError) as caught:
        pull(hub, tmp_path, "english", cloning=True)
    assert caught.value.reason is Reason.SOURCE_ACCESS_DENIED
    folder = pull(hub, tmp_path, "english", cloning=True, token=TOKEN)
    assert (folder / "model.safetensors").read_text() == f"weights of {GATED}"
    assert json.loads((folder / "bundle.json").read_text())["voice_cloning"] is True
    assert [path.name for path in folder.parent.iterdir()] == ["english"]


@pytest.mark.usefixtures("configuration")
def test_what_an_interrupted_download_brought_is_kept(hub: HubServer, tmp_path: Path) -> None:
    hub.refusals = [500] * 20
    with pytest.raises(ServiceError) as caught:
        pull(hub, tmp_path, "english")
    assert caught.value.reason is Reason.DOWNLOAD_FAILED
    assert not (tmp_path / "speech" / "synthesis" / "english").exists()
    hub.refusals = []
    hub.cuts = [4]
    assert pull(hub, tmp_path, "english").is_dir()
    assert hub.ranges == ["bytes=4-"]


def test_a_file_that_does_not_match_its_checksum_is_refused(hub: HubServer, tmp_path: Path) -> None:
    hub.wrong_digests.add("tokenizer.json")
    with pytest.raises(ServiceError) as caught:
        pull(hub, tmp_path, "base")
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert not (tmp_path / "speech" / "recognition" / "base").exists()


def test_a_repository_without_a_needed_file(hub: HubServer, tmp_path: Path) -> None:
    (hub.repositories["Systran/faster-whisper-base"] / "tokenizer.json").unlink()
    with pytest.raises(ServiceError) as caught:
        pull(hub, tmp_path, "base")
    assert "tokenizer.json" in caught.value.message
