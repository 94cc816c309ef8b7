"""Directories that take a place whole or not at all, even when who moves them is killed."""

from __future__ import annotations

import shutil
from pathlib import Path


def put_in_place(new: Path, target: Path) -> None:
    """Gives a complete directory its name, instead of the one that has it.

    Killed between its two steps it leaves neither under the name; `mend` brings the older one back.
    """
    older = _older(target)
    if target.exists():
        shutil.rmtree(older, ignore_errors=True)
        target.rename(older)
    try:
        new.rename(target)
    except OSError:
        if older.exists():
            older.rename(target)
        raise
    shutil.rmtree(older, ignore_errors=True)


def remove(target: Path) -> None:
    """Deletes a directory: first out of sight, so that nobody finds half of it, then for good."""
    doomed = _doomed(target)
    shutil.rmtree(doomed, ignore_errors=True)
    target.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def mend(target: Path) -> None:
    """Finishes what was interrupted at a place. Nobody else may be at work there."""
    older = _older(target)
    if older.exists() and not target.exists():
        older.rename(target)
    for left in (older, _doomed(target)):
        shutil.rmtree(left, ignore_errors=True)


def interrupted(parent: Path) -> list[Path]:
    """The places in `parent` at which something was interrupted, or is under way."""
    return sorted(
        {
            parent / left.name.removeprefix(".").removesuffix(ending)
            for ending in (_OLDER, _DOOMED)
            for left in parent.glob(f".*{ending}")
        }
    )


_OLDER = ".older"
_DOOMED = ".deleted"


def _older(target: Path) -> Path:
    return target.with_name(f".{target.name}{_OLDER}")


def _doomed(target: Path) -> Path:
    return target.with_name(f".{target.name}{_DOOMED}")
