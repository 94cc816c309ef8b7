"""The memory limit of a process, from files as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sterna_service.telemetry.control_group import memory_limit

V2 = "24 30 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "30 29 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    "31 29 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
GIBIBYTE = 1024**3
UNLIMITED = "9223372036854771712\n"


def _host(root: Path, groups: str, mounts: str, limits: dict[str, str]) -> int:
    """`limits` are files below /sys/fs/cgroup."""
    files = {f"sys/fs/cgroup/{name}": text for name, text in limits.items()}
    files |= {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return memory_limit(root)


def test_a_container_sees_its_own_group_as_the_outermost(tmp_path: Path) -> None:
    limit = _host(tmp_path, "0::/\n", V2, {"memory.max": f"{GIBIBYTE}\n"})
    assert limit == GIBIBYTE


def test_a_unit_of_systemd_has_a_group_below(tmp_path: Path) -> None:
    service = "system.slice/sterna.service/memory.max"
    limits = {
        service: f"{GIBIBYTE}\n",
        "system.slice/memory.max": "max\n",
    }
    assert _host(tmp_path, "0::/system.slice/sterna.service\n", V2, limits) == GIBIBYTE


def test_the_tightest_of_several_counts(tmp_path: Path) -> None:
    limits = {
        "a/memory.max": f"{GIBIBYTE}\n",
        "a/b/memory.max": f"{2 * GIBIBYTE}\n",
        "other/memory.max": "1\n",
    }
    assert _host(tmp_path, "0::/a/b\n", V2, limits) == GIBIBYTE


def test_version_1(tmp_path: Path) -> None:
    limits = {
        "memory/memory.limit_in_bytes": UNLIMITED,
        "memory/job/memory.limit_in_bytes": f"{GIBIBYTE}\n",
        # Of another controller.
        "cpu/job/memory.limit_in_bytes": "1\n",
    }
    groups = "5:memory:/job\n4:cpu:/job\n0::/\n"
    assert _host(tmp_path, groups, V1, limits) == GIBIBYTE


def test_a_container_without_a_view_of_its_own(tmp_path: Path) -> None:
    """It is told the host's path, of which only the part below the mount's root is there."""
    mounts = "31 29 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    limits = {
        "memory/memory.limit_in_bytes": f"{2 * GIBIBYTE}\n",
        "memory/inner/memory.limit_in_bytes": f"{GIBIBYTE}\n",
    }
    assert _host(tmp_path, "3:memory:/docker/abc/inner\n", mounts, limits) == GIBIBYTE


@pytest.mark.parametrize("text", ["max\n", "", "nonsense\n", UNLIMITED, "0\n"])
def test_no_limit(tmp_path: Path, text: str) -> None:
    assert _host(tmp_path, "0::/\n", V2, {"memory.max": text}) == 0


def test_nothing_to_read(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) == 0
