"""Disks that are soon full: a `tmpfs` that only a process and its children see."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# The second half takes the rights away again that mounting needs: PostgreSQL refuses to have them.
_MOUNT = 'mount -t tmpfs -o size="$1" sterna "$2" && shift 2 && exec "$@"'
_AS_NOBODY = ("unshare", "-U", "--map-user=1000", "--map-group=1000")


@functools.cache
def _may_mount() -> bool:
    """Whether a process may have mounts of its own here, which needs no root on most systems."""
    if shutil.which("unshare") is None:
        return False
    command = on_small_disk("1m", Path("/mnt"), "true", as_root=False)
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def need_mounts() -> None:
    """Skips a test, and says so, where no disk can be made."""
    if not _may_mount():
        pytest.skip("NOT RUN: this system lets no process have mounts of its own (unshare -rm)")


def on_small_disk(size: str, directory: Path, *command: str, as_root: bool = True) -> list[str]:
    """A command that sees a new disk of a size, such as "2m", at a directory."""
    rights = () if as_root else _AS_NOBODY
    mount = ["unshare", "-rm", "bash", "-c", _MOUNT, "bash", size, str(directory)]
    return [*mount, *rights, *command]


@contextlib.contextmanager
def small_disk(size: str, directory: Path) -> Iterator[Path]:
    """A new disk of a size, at a path that this process and its children can use, too."""
    need_mounts()
    directory.mkdir()
    holder = subprocess.Popen(
        on_small_disk(size, directory, "bash", "-c", "echo; read -r"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        holder.stdout.readline()
        yield seen_by(holder.pid, directory)
    finally:
        holder.stdin.close()
        holder.wait()


def seen_by(pid: int, path: Path) -> Path:
    """A path as a process sees it."""
    return Path(f"/proc/{pid}/root{path}")


def fill(path: Path) -> None:
    """Writes a file until the disk has no room left; whoever removes it makes room again."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 512):
            while True:
                try:
                    if file.write(b"x" * size) < size:
                        break
                except OSError:
                    break
