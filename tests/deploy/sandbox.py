"""Runs a command under the system-call filter of a systemd unit, without systemd.

    python tests/deploy/sandbox.py UNIT COMMAND...

Takes the unit's `SystemCallFilter=`, `SystemCallErrorNumber=EPERM` and `MemoryDenyWriteExecute=`,
asks `systemd-analyze` what the groups hold, and has the kernel refuse everything else.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE = 38, 65


def group(name: str) -> set[str]:
    """The system calls of a group such as `@system-service`."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    ).stdout
    found: set[str] = set()
    for line in listed.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            found |= group(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def allowed(unit: str) -> set[str]:
    """The system calls that a unit leaves. Its first filter must be one that allows."""
    found = group("@default")
    for line in unit.splitlines():
        if not line.startswith("SystemCallFilter="):
            continue
        words = line.partition("=")[2]
        named: set[str] = set()
        for word in words.removeprefix("~").split():
            named |= group(word) if word.startswith("@") else {word}
        found = found - named if words.startswith("~") else found | named
    return found


def main() -> None:
    unit = Path(sys.argv[1]).read_text()
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    for name in sorted(allowed(unit)):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            seccomp.seccomp_rule_add(context, ctypes.c_uint32(_ALLOW), number, 0)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if "\nMemoryDenyWriteExecute=yes" in unit:
        # Older kernels do not know it, and systemd then uses another filter.
        libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0)
    if seccomp.seccomp_load(context) != 0:
        sys.exit("the filter cannot be loaded")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
