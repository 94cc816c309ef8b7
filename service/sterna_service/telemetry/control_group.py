"""The memory that the control group of this process allows it, of version 1 or 2."""

from __future__ import annotations

import functools
import re
from pathlib import Path

# Version 1 shows a number near 2^63 for a group without a limit.
_NO_LIMIT = 2**60


def memory_limit(root: Path = Path("/")) -> int:
    """The tightest limit of the group and of those around it, in bytes; 0: none.

    A systemd unit's limit is on its own group, a container's often on the one that it sees as the
    outermost. `root` is where `proc` and `sys` are.
    """
    found = (_number(file) for file in _limit_files(root))
    return min((limit for limit in found if 0 < limit < _NO_LIMIT), default=0)


@functools.cache
def _limit_files(root: Path) -> tuple[Path, ...]:
    """Where limits of this process may be. A process rarely changes its group."""
    mounts = _mounts(_read(root / "proc/self/mountinfo"))
    files: list[Path] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        v2 = number == "0" and not controllers
        if not v2 and "memory" not in controllers.split(","):
            continue
        name = "memory.max" if v2 else "memory.limit_in_bytes"
        for kind, shown, place in mounts:
            if (kind == "cgroup2") == v2:
                group = _below(path, shown)
                top = root / place.lstrip("/")
                files += [top / each / name for each in (group, *group.parents)]
    return tuple(files)


def _mounts(mountinfo: str) -> list[tuple[str, str, str]]:
    """Kind, root and place of the mounts at which limits of memory may be."""
    found = []
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        words, (kind, *rest) = before.split(" "), after.split(" ")
        if not dash or len(words) < 5:
            continue
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in rest[-1].split(",")):
            found.append((kind, _plain(words[3]), _plain(words[4])))
    return found


def _below(path: str, shown: str) -> Path:
    """The group below a mount that shows a part of the hierarchy; the mount itself when the path is
    not in that part, as in a container without a view of its own."""
    try:
        return Path(path).relative_to(shown)
    except ValueError:
        return Path()


def _plain(text: str) -> str:
    """mountinfo writes blanks and backslashes as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _number(file: Path) -> int:
    text = _read(file).strip()
    return int(text) if text.isdecimal() else 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
