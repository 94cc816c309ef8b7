"""Fuzzes the reading of GGUF files: whatever they hold, they convert or are refused by name.

Run by scripts/fuzz_python.sh. The seeds are whole files, so that mutations reach the weights.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

from sterna_service.errors import ModelLoadError
from sterna_service.models.gguf.convert import checkpoint_of

_SCRATCH = Path(tempfile.mkdtemp(prefix="sterna-fuzz-", dir="/dev/shm"))
_FILE = _SCRATCH / "model.gguf"
# A checkpoint written out may be no larger than this many times the file: trits of two bits and
# less become two bits, halves become halves, and small files have names and JSON about them.
_MOST_GROWTH = 64
_SMALL_CHANGE = 1 << 20


def test_one(data: bytes) -> None:
    _FILE.write_bytes(data)
    try:
        checkpoint = checkpoint_of(_FILE, _SCRATCH)
    except ModelLoadError:
        pass
    else:
        written = sum(each.stat().st_size for each in checkpoint.iterdir())
        if written > _MOST_GROWTH * len(data) + _SMALL_CHANGE:
            raise AssertionError(f"{len(data)} bytes became {written}")
    _forget()


def _forget() -> None:
    for each in (_SCRATCH / "converted").glob("*/*"):
        each.unlink()
    for each in (_SCRATCH / "converted").glob("*"):
        each.rmdir() if each.is_dir() else each.unlink()


if __name__ == "__main__":
    # All, since an editable installation imports in a way that selective instrumenting misses.
    atheris.instrument_all()
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()
