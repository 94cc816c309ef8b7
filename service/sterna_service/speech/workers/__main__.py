"""`python -m sterna_service.speech.workers KIND FD`: a worker on an inherited socket."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import socket
import sys

from sterna_service.speech.workers.serve import WorkerLoop

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def _confine() -> None:
    """Ends with the server, leaves no core dump, and never gains rights."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A terminal sends Ctrl-C to every process in it; the server decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> None:
    """Serves one kind of work until the server goes away."""
    kind, descriptor = sys.argv[1], int(sys.argv[2])
    logging.basicConfig(level=logging.WARNING, format=f"speech {kind}: %(message)s")
    _confine()
    connection = socket.socket(fileno=descriptor)
    if kind == "recognition":
        os.nice(5)  # nobody waits for it in real time
        from sterna_service.speech.workers.recognizer import LIGHT, operations
    else:
        from sterna_service.speech.workers.synthesizer import LIGHT, operations
    WorkerLoop(connection, operations(), LIGHT).run()


if __name__ == "__main__":
    main()
