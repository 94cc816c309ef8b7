"""The comparison of directories after a kill finds what is lost, halved, changed and invented."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sterna_service.models.manifest import make_manifest, sha256_of
from tests.fault.shelf import Shelf, model_flaw, voice_flaw


def voice(directory: Path, state: bytes = b"state") -> None:
    directory.mkdir()
    (directory / "state.safetensors").write_bytes(state)
    digest = sha256_of(directory / "state.safetensors")
    (directory / "voice.json").write_text(json.dumps({"state_sha256": digest}))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Two voices."""
    shelf = Shelf("voice", tmp_path, voice_flaw)
    for name in "ab":
        voice(tmp_path / name)
        shelf.keep(name, "said")
    return shelf


def test_what_is_as_acknowledged(shelf: Shelf) -> None:
    assert shelf.compare({"a": "said", "b": "said"}) == []


@pytest.mark.parametrize("listed", [{"a": "said"}, {}])
def test_what_is_lost(shelf: Shelf, listed: dict[str, str]) -> None:
    for name in "ab":
        if name not in listed:
            shutil.rmtree(shelf.path / name)
    problems = shelf.compare(listed)
    assert len(problems) == 2 - len(listed)
    assert all("is lost" in each for each in problems)


def test_what_is_there_and_not_listed(shelf: Shelf) -> None:
    problems = shelf.compare({"a": "said"})
    assert [each.rpartition(" ")[0] for each in problems] == [
        "the voice b is",
        f"{shelf.path / 'b'} was left",
    ]


def test_one_byte_that_changed(shelf: Shelf) -> None:
    (shelf.path / "a" / "state.safetensors").write_bytes(b"State")
    changed, halved = shelf.compare({"a": "said", "b": "said"})
    assert changed == "the voice a has changed: state.safetensors"
    assert "by half" in halved


def test_what_the_server_says_that_changed(shelf: Shelf) -> None:
    (problem,) = shelf.compare({"a": "said", "b": "something else"})
    assert "the voice b has changed" in problem


def test_what_nobody_made(shelf: Shelf) -> None:
    voice(shelf.path / "c")
    (problem,) = shelf.compare({"a": "said", "b": "said", "c": ""})
    assert "nobody made it" in problem


def test_what_was_cut_off_may_be_there_or_not(shelf: Shelf) -> None:
    shelf.begun |= {"c", "d"}
    shelf.leaving |= {"a", "b"}
    shutil.rmtree(shelf.path / "a")
    voice(shelf.path / "c")
    assert shelf.compare({"b": "said", "c": "new"}) == []
    assert sorted(shelf.kept) == ["b", "c"]
    # From now on it must stay.
    assert len(shelf.compare({})) > 1


def test_what_was_cut_off_must_be_whole(shelf: Shelf) -> None:
    shelf.begun.add("c")
    voice(shelf.path / "c")
    (shelf.path / "c" / "voice.json").unlink()
    (problem,) = shelf.compare({"a": "said", "b": "said", "c": ""})
    assert "by half" in problem


def test_models_of_two_revisions(tmp_path: Path) -> None:
    directory = tmp_path / "m"
    directory.mkdir()
    assert model_flaw(directory) == "it has no manifest"
    (directory / "README.md").write_text("This is one.\n")
    make_manifest(directory, "loop/m", "one").write(directory)
    assert model_flaw(directory) == ""
    make_manifest(directory, "loop/m", "two").write(directory)
    assert model_flaw(directory) == "files of two revisions"
    (directory / "README.md").write_text("This is two.\n")
    assert "README.md" in model_flaw(directory)
