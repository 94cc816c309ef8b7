"""What the person types and sees.

On a terminal: a prompt with line editing, colour, hints. In a pipe: one question per line in, one
answer per question out, and nothing else on standard output.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

_BOLD = "\001\033[1m\002"
_DIM = "\033[2m"
_RED = "\033[31m"
_RESET = "\033[0m"


class Terminal:
    """The two ends of the conversation's text."""

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        if self.interactive:
            # Line editing and history for input(); importing it is all it takes.
            import readline  # noqa: F401

    def read(self) -> str | None:
        """The next line without its end; None when there is no more."""
        if self.interactive:
            try:
                return input(f"{_BOLD}> \001{_RESET}\002")
            except EOFError:
                print()
                return None
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None

    def write(self, text: str) -> None:
        """A piece of the answer, shown at once."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def end_answer(self, note: str = "") -> None:
        """The answer is over; `note` says why it is not whole."""
        if self.interactive:
            self.write(f" {_DIM}[{note}]{_RESET}\n\n" if note else "\n\n")
        else:
            self.write("\n")

    def hint(self, text: str) -> None:
        """Something about the program itself; a pipe does not get it."""
        if self.interactive:
            print(f"{_DIM}{text}{_RESET}", flush=True)

    def problem(self, lines: Iterable[str]) -> None:
        """What went wrong, on standard error."""
        for line in lines:
            coloured = f"{_RED}{line}{_RESET}" if sys.stderr.isatty() else line
            print(coloured, file=sys.stderr, flush=True)
