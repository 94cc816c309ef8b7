"""Speech of espeak-ng: the program runs once for each piece of text."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sterna_service.speech.espeak import PROGRAM
from sterna_service.speech.workers.serve import Call, WorkerError

RATE = 22_050
"""Samples per second of all its voices."""

_HEADER = 44
_BLOCK_BYTES = 2 * RATE * 2 // 25  # 80 ms


@dataclass(frozen=True)
class EspeakVoice:
    """A voice by its language."""

    language: str

    def speak(self, text: str, call: Call) -> Iterator[NDArray[np.float32]]:
        """Blocks of mono samples, [-1, 1], until the call is cancelled.

        The text goes to the program's input, never among its arguments.

        Raises:
            WorkerError: The program failed.
        """
        command = [PROGRAM, "-v", self.language, "-b", "1", "--stdin", "--stdout"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(text.encode())
            process.stdout.read(_HEADER)
            while (data := process.stdout.read(_BLOCK_BYTES)) and not call.cancelled.is_set():
                samples = np.frombuffer(data[: len(data) - len(data) % 2], dtype="<i2")
                yield samples.astype(np.float32) / np.float32(32768)
            process.kill() if call.cancelled.is_set() else process.wait()
        if process.returncode and not call.cancelled.is_set():
            raise WorkerError(
                "SPEECH_WORKER_FAILED",
                f"espeak-ng failed with status {process.returncode}",
                worker=PROGRAM,
            )
