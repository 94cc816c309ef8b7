"""Directories after a kill between any two steps: the old one or the new one, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sterna_service.directories import interrupted, mend, put_in_place, remove
from sterna_service.models.store import Store


class KilledError(BaseException):
    """The process ends here: nothing is tidied up."""


def make(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text(text)
    return path


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many more steps may be made."""
    left = [100]

    def counted(step: object) -> object:
        def run(*arguments: object, **options: object) -> object:
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
            return step(*arguments, **options)  # type: ignore[operator]

        return run

    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    return left


@pytest.mark.parametrize("count", range(5))
def test_replacing_is_killed(tmp_path: Path, steps: list[int], count: int) -> None:
    target, new = make(tmp_path / "org" / "name", "old"), make(tmp_path / "new", "new")
    steps[0] = count
    killed = False
    try:
        put_in_place(new, target)
    except KilledError:
        killed = True
    assert killed == (count < 4)
    steps[0] = 100
    for place in interrupted(target.parent):
        mend(place)
    assert (target / "file").read_text() == ("old" if new.exists() else "new")
    assert [each.name for each in target.parent.iterdir()] == ["name"]


@pytest.mark.parametrize("count", range(4))
def test_removing_is_killed(tmp_path: Path, steps: list[int], count: int) -> None:
    target = make(tmp_path / "org" / "name", "old")
    steps[0] = count
    killed = False
    try:
        remove(target)
    except KilledError:
        killed = True
    assert killed == (count < 3)
    steps[0] = 100
    for place in interrupted(target.parent):
        mend(place)
    assert [each.name for each in target.parent.iterdir()] == (["name"] if count < 2 else [])


def test_a_new_one_that_cannot_be_moved(tmp_path: Path) -> None:
    target = make(tmp_path / "name", "old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "nothing", target)
    assert (target / "file").read_text() == "old"


def test_the_store_mends_at_the_start(tmp_path: Path) -> None:
    store = Store(tmp_path)
    older = make(store.path / "org" / ".name.older", "old")
    doomed = make(store.path / "org" / ".other.deleted", "gone")
    foreign = make(store.path / "org" / ".-.older", "no id")
    with store.exclusive("org/name"):
        store.clean_up()
        # Another process is at work there. (It had it mended when it began.)
        assert not older.exists()
    assert (store.path / "org" / "name" / "file").read_text() == "old"
    assert not doomed.exists()
    assert foreign.exists()


def test_the_store_leaves_what_is_under_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.exclusive("org/name"):
        older = make(store.path / "org" / ".name.older", "old")
        store.clean_up()
        assert older.exists()
    store.clean_up()
    assert not older.exists()
