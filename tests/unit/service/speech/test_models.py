"""Names of speech models: what they mean, and that they never become paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from sterna_service.errors import Reason, ServiceError
from sterna_service.speech.catalogue import CATALOGUE, Kind
from sterna_service.speech.models import SpeechModels


def whisper(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name in ("config.json", "model.bin", "tokenizer.json"):
        (directory / name).touch()
    return directory


def models(home: Path, configured: str = "base") -> SpeechModels:
    return SpeechModels(Kind.RECOGNITION, home, configured)


@pytest.mark.parametrize(
    "name", ["", "whisper-1", "base", "whisper-base", "Systran/faster-whisper-base"]
)
def test_many_names_for_one_model(tmp_path: Path, name: str) -> None:
    path = whisper(tmp_path / "speech" / "recognition" / "base")
    found = models(tmp_path).find(name)
    assert (found.model_id, found.path) == ("base", path)


def test_a_directory_that_the_operator_names(tmp_path: Path) -> None:
    path = whisper(tmp_path / "elsewhere" / "my-whisper")
    here = models(tmp_path, str(path))
    assert here.find("").path == path
    assert here.find("my-whisper").path == path
    assert here.available() == ["my-whisper"]


@pytest.mark.parametrize(
    "name", ["../base", "/etc", "base/../base", "base\0", ".", "..", "~", "file:///etc", "BASE"]
)
def test_names_never_become_paths(tmp_path: Path, name: str) -> None:
    whisper(tmp_path / "speech" / "recognition" / "base")
    with pytest.raises(ServiceError) as caught:
        models(tmp_path).find(name)
    assert caught.value.reason is Reason.MODEL_NOT_FOUND


def test_weights_that_are_not_here_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        models(tmp_path).find("small.en")
    assert caught.value.reason is Reason.SPEECH_WEIGHTS_MISSING
    assert caught.value.metadata["command"] == "sterna pull --voice small.en"


def test_a_directory_that_lacks_a_file_says_which(tmp_path: Path) -> None:
    path = whisper(tmp_path / "mine")
    (path / "tokenizer.json").unlink()
    with pytest.raises(ServiceError) as caught:
        models(tmp_path, str(path)).find("")
    assert "tokenizer.json" in caught.value.message


def test_the_catalogue_tells_size_and_licence() -> None:
    assert {"base.en", "english", "turbo"} <= CATALOGUE.keys()
    for name, weights in CATALOGUE.items():
        assert weights.name == name
        assert weights.megabytes > 0
        assert weights.licence in ("MIT", "CC-BY-4.0")
