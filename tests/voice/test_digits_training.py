"""The training of the recogniser of digits, end to end and in miniature: it learns nothing here."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.speech import DATA, recording


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive like the dataset's, with a speaker to train on and the one that is left out."""
    path = tmp_path_factory.mktemp("digits") / "recordings.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        for speaker in ("jackson", "theo"):
            for take in (0, 5, 6):
                for digit in range(10):
                    data = recording(digit)
                    entry = tarfile.TarInfo(f"recordings/{digit}_{speaker}_{take}.wav")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    return path


def trained(archive: Path, checkpoint: Path, stop_after: int | None = None) -> Any:
    import torch

    from training.digits import data, train
    from training.digits.model import Recognizer, Shape
    from training.digits.tokens import build_tokenizer

    torch.manual_seed(3)
    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    model = Recognizer(Shape(tokenizer.get_vocab_size(), width=16, layers=1), classes=11)
    recordings = [each for each in data.load(archive) if each.speaker != "theo" and each.take >= 5]
    plan = train.Plan(steps=4, full_steps=2, batch=3, digits=2, seed=5, steps_per_digit=2)

    class StopTrainingError(Exception):
        pass

    steps = 0
    utter = data.utter

    def counted(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if stop_after is not None and steps > stop_after:
            raise StopTrainingError
        return utter(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.digits.train.utter", counted)
        try:
            train.train(model, tokenizer, recordings, plan, checkpoint, every=1)
        except StopTrainingError:
            return None
    return model, tokenizer


def test_an_interrupted_training_gives_the_same_weights(archive: Path, tmp_path: Path) -> None:
    import torch

    whole, _ = trained(archive, tmp_path / "whole")
    assert trained(archive, tmp_path / "parts", stop_after=8) is None
    parts, _ = trained(archive, tmp_path / "parts")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_a_checkpoint_of_another_run_is_refused(archive: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"plan": {}}, tmp_path / "other")
    with pytest.raises(SystemExit, match="another run"):
        trained(archive, tmp_path / "other")


def test_what_is_exported_is_loaded_and_scored(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.digits import evaluate
    from training.digits.export import export

    model, tokenizer = trained(archive, tmp_path / "checkpoint")
    export(model.eval(), tokenizer, tmp_path / "model")
    command = ["evaluate", "--data", str(archive), "--model", str(tmp_path / "model")]
    monkeypatch.setattr("sys.argv", [*command, "--count", "1", "--most", "2"])
    evaluate.main()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "speakers heard, recordings held out: single digits" in card
    assert "a speaker never heard: rows of 2 to 5" in card
    assert "CC BY-SA 4.0" in card


def test_the_shipped_recogniser_says_what_it_is() -> None:
    card = (DATA / "digits" / "README.md").read_text()
    assert "word error rate" in card
    assert "CC BY-SA 4.0" in card
