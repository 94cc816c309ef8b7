"""A command on a pseudo-terminal, typed to by a test."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class TerminalProcess:
    """Runs a command whose standard streams are a terminal, while the `with` block does."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._command = list(command)
        self._environment = environment | {"TERM": "xterm"}
        self.output = ""
        self._seen = 0

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            self._command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=self._environment,
            # A session of its own, whose terminal turns Ctrl-C into SIGINT.
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(slave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        """Types a text; `\\x03` is Ctrl-C, `\\x04` Ctrl-D."""
        os.write(self._master, text.encode())

    def expect(self, text: str, seconds: float = 60.0) -> None:
        """Waits for a text after what the last call found."""
        deadline = time.monotonic() + seconds
        while (found := self.output.find(text, self._seen)) < 0:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.output[self._seen :]!r}"
            if select.select([self._master], [], [], min(left, 0.5))[0]:
                try:
                    self.output += os.read(self._master, 4096).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"ended without {text!r}: {self.output!r}") from None
        self._seen = found + len(text)

    def insist(self, keys: str, text: str) -> None:
        """Types keys again and again, a second apart, until a text appears.

        Python loses a Ctrl-C that comes in the instant before its prompt begins to wait; a person
        presses it once more.
        """
        for _ in range(30):
            self.type(keys)
            with contextlib.suppress(AssertionError):
                self.expect(text, seconds=1.0)
                return
        self.expect(text)

    def wait(self, seconds: float = 30.0) -> int:
        """The exit status."""
        return self.process.wait(seconds)


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # As a shell on a terminal does: tests that run in the background inherit that it is ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
