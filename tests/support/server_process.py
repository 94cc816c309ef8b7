"""Runs the real `sterna` command in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

# Beside the interpreter, unless the tests run in an environment without the server.
STERNA = Path(os.environ.get("STERNA_COMMAND", Path(sys.executable).parent / "sterna"))
START_SECONDS = 60.0
STOP_SECONDS = 45.0

_REST = re.compile(r"^\s*REST\s+(https?://\S+)/v1", re.MULTILINE)
_GRPC = re.compile(r"^\s*gRPC\s+(\S+)", re.MULTILINE)


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a test: none of this machine's settings, a home of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STERNA_")}
    return kept | {"STERNA_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "100"} | variables


def run_sterna(
    *arguments: str, home: Path, stdin: str = "", timeout: float = 60.0, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs `sterna ARGUMENTS` to its end. `variables` are added to the environment."""
    return subprocess.run(
        [str(STERNA), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=clean_environment(home, **variables),
    )


class ServerProcess:
    """A `sterna serve`, `core` or `rest` that runs while the `with` block does.

    After entering it the server said that it is ready: `rest_url` and `grpc_address` come from
    what it printed.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        home: Path,
        program: Sequence[str] = (str(STERNA),),
        **variables: str,
    ) -> None:
        """`program` runs `sterna` with the arguments that follow it."""
        self._arguments = [*program, *arguments]
        self._environment = clean_environment(home, **variables)
        self._output: list[str] = []
        self._changed = threading.Condition()
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
        )
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        self._readers.append(reader)
        try:
            self.wait_for_output("Ctrl-C stops the server.", START_SECONDS)
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the server did not stop:\n{self.output}") from None

    @property
    def output(self) -> str:
        """What the server printed so far, both streams."""
        with self._changed:
            return "".join(self._output)

    @property
    def rest_url(self) -> str:
        """`http://host:port` of the REST listener."""
        return self._announced(_REST)

    @property
    def grpc_address(self) -> str:
        """`host:port` of the gRPC listener."""
        return self._announced(_GRPC)

    def wait_for_output(self, text: str, seconds: float) -> None:
        """Returns when the server has printed `text`; fails when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while text not in "".join(self._output):
                left = deadline - time.monotonic()
                ended = self.process.poll() is not None and not self._readers[0].is_alive()
                if left <= 0 or ended:
                    state = f"ended with {self.process.returncode}" if ended else "is silent"
                    raise AssertionError(
                        f"the server {state}; wanted {text!r} in:\n{''.join(self._output)}"
                    )
                self._changed.wait(min(left, 0.2))

    def terminate(self) -> None:
        """Asks for a graceful stop and returns at once."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """The exit status."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Ends the process without ceremony."""
        self.process.kill()
        self.process.wait()

    def _announced(self, pattern: re.Pattern[str]) -> str:
        match = pattern.search(self.output)
        assert match, f"no {pattern.pattern!r} in:\n{self.output}"
        return match[1]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._output.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()
