"""The loop of a worker: one thread reads messages, one does the work, in order.

Work is short by design (one window of speech, one sentence), so that whoever waits behind it does
not wait long. What takes no time but must not wait, such as noticing that somebody speaks, is done
on a thread of its own, also in order. A call that was cancelled hears of it through its
`Call.cancelled` event; one that was cancelled before its turn is not begun.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sterna_service.errors import is_disk_full
from sterna_service.speech import wire

_log = logging.getLogger(__name__)


class WorkerError(Exception):
    """A refusal that the client should see. `reason` is one of `sterna_service.errors.Reason`."""

    def __init__(self, reason: str, message: str, *, field: str = "", **metadata: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.metadata = metadata


class Call:
    """One operation that is being done."""

    def __init__(self, loop: WorkerLoop, message: wire.Message) -> None:
        self._loop = loop
        self.header = message.header
        self.data = message.data
        self.stream: int = message.header.get("stream", 0)
        self.cancelled = threading.Event()

    def emit(self, event: str, data: bytes = b"", **fields: Any) -> None:
        """Sends an event of this call."""
        if not self.cancelled.is_set():
            self._loop.send({"call": self.header["call"], "event": event, **fields}, data)


Operation = Callable[[Call], dict[str, Any] | tuple[dict[str, Any], bytes] | None]


class WorkerLoop:
    """Serves operations on a socket until the server goes away; `light` are the names of those
    that pass by the others."""

    def __init__(
        self,
        connection: socket.socket,
        operations: Mapping[str, Operation],
        light: Collection[str] = (),
    ) -> None:
        self._connection = connection
        self._operations = operations
        self._light = frozenset(light)
        self._work: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._light_work: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._calls: dict[int, Call] = {}
        self._sending = threading.Lock()

    def send(self, header: dict[str, Any], data: bytes = b"") -> None:
        """Sends one message; any thread may. Ends the process when the server is gone."""
        try:
            with self._sending:
                self._connection.sendall(wire.encode(header, data))
        except OSError:
            os._exit(0)

    def run(self) -> None:
        """Returns never: the process ends with the connection.

        It ends without ceremony, because threads of the libraries that are still at work abort a
        process that is torn down around them.
        """
        for name, work in (("work", self._work), ("light work", self._light_work)):
            threading.Thread(target=self._do_work, args=(work,), name=name, daemon=True).start()
        try:
            with self._connection.makefile("rb") as stream:
                while (message := wire.receive_blocking(stream)) is not None:
                    self._take(message)
        finally:
            os._exit(0)

    def _take(self, message: wire.Message) -> None:
        call_id = message.header.get("call", 0)
        if message.header["op"] == "cancel":
            call = self._calls.get(call_id)
            if call is not None:
                call.cancelled.set()
            return
        call = Call(self, message)
        if call_id:
            self._calls[call_id] = call
        light = message.header["op"] in self._light
        (self._light_work if light else self._work).put(call)

    def _do_work(self, work: queue.SimpleQueue[Call]) -> None:
        try:
            while True:
                self._do(work.get())
        except BaseException:
            _log.exception("the speech worker failed")
            os._exit(1)

    def _do(self, call: Call) -> None:
        call_id = call.header.get("call", 0)
        data = b""
        try:
            result = None
            if not call.cancelled.is_set():
                result = self._operations[call.header["op"]](call)
            if isinstance(result, tuple):
                result, data = result
            answer = {"call": call_id, "done": True, **(result or {})}
        except WorkerError as error:
            answer = _refusal(call_id, error.reason, str(error), error.metadata, error.field)
        except MemoryError:
            answer = _refusal(call_id, "OUT_OF_MEMORY", "there is not enough memory for this audio")
        except Exception as error:
            _log.exception("a speech operation failed: %s", call.header["op"])
            answer = _refusal(call_id, "INTERNAL", "the speech worker failed")
            if is_disk_full(error):
                why = "the disk of the server is full; make room on it"
                answer = _refusal(call_id, "DISK_FULL", why)
        finally:
            self._calls.pop(call_id, None)
        if call_id:
            self.send(answer, data)


def _refusal(
    call_id: int,
    reason: str,
    message: str,
    metadata: Mapping[str, str] | None = None,
    field: str = "",
) -> dict[str, Any]:
    error = {
        "reason": reason,
        "message": message,
        "metadata": dict(metadata or {}),
        "field": field,
    }
    return {"call": call_id, "error": error}
