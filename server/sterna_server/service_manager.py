"""Tells systemd how the server stands: ready, stopping, alive.

The protocol is one datagram per message to the socket that `NOTIFY_SOCKET` names, see sd_notify(3).
Without that variable nothing is sent, so this does no harm elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator

_log = logging.getLogger(__name__)


class ServiceManager:
    """The service manager that started this process, if there is one."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")

    def ready(self, status: str) -> None:
        """Says that requests are answered; `status` is a line for `systemctl status`."""
        self._send(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """Says that the server has begun to stop."""
        self._send("STOPPING=1\nSTATUS=Stopping: running requests finish")

    @contextlib.asynccontextmanager
    async def watchdog(self) -> AsyncIterator[None]:
        """Says while inside that the event loop is alive, as often as the manager asks for it.

        Whoever blocks the loop for longer has the server restarted.
        """
        seconds = _watchdog_seconds()
        if not (self._address and seconds):
            yield
            return
        beating = asyncio.create_task(self._beat(seconds / 2))
        try:
            yield
        finally:
            beating.cancel()

    async def _beat(self, seconds: float) -> None:
        while True:
            self._send("WATCHDOG=1")
            await asyncio.sleep(seconds)

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract socket.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(message.encode(), address)
        except OSError as error:
            _log.warning("the service manager cannot be told", extra={"why": str(error)})


def _watchdog_seconds() -> float:
    """How long the manager waits for a sign of life; 0: it does not watch this process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0
