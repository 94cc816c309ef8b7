"""One worker process: started, spoken to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from sterna_service.errors import Reason, ServiceError
from sterna_service.speech import wire

_log = logging.getLogger(__name__)

# A cancelled call ends within a step of its library; a window of speech is the longest of them.
_CANCEL_SECONDS = 300.0

# Suggested to the client whose request met a worker that died: a new one starts meanwhile.
_RETRY_SECONDS = 2.0

# What of the server's environment a worker sees. Tokens and addresses are none of its business.
_INHERITED = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TZ")


class WorkerProcess:
    """A running worker. Made by `start_process`."""

    def __init__(
        self,
        kind: str,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        scratch: Path,
    ) -> None:
        self.kind = kind
        self._process = process
        self._reader = reader
        self._writer = writer
        self._scratch = scratch
        self._ids = itertools.count(1)
        self._streams = itertools.count(1)
        self._calls: dict[int, asyncio.Queue[wire.Message | None]] = {}
        self._abandoned: dict[int, asyncio.TimerHandle] = {}
        self._settled = asyncio.Event()
        self._settled.set()
        self._gone = False
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._gone

    def new_stream(self) -> int:
        """A number for a stream that the worker is about to keep."""
        return next(self._streams)

    async def post(self, op: str, *, data: bytes = b"", **fields: Any) -> None:
        """Sends an operation without an answer."""
        await self._send({"op": op, **fields}, data)

    async def call(
        self, op: str, *, data: bytes = b"", **fields: Any
    ) -> AsyncGenerator[wire.Message]:
        """The events of an operation, and at last its result (`header["done"]`).

        Whoever leaves early, by an exception or by closing the generator, cancels the operation;
        `settled` tells when the worker has really stopped.

        Raises:
            ServiceError: The worker refused, or died.
        """
        call_id = next(self._ids)
        answers: asyncio.Queue[wire.Message | None] = asyncio.Queue()
        self._calls[call_id] = answers
        finished = False
        try:
            await self._send({"op": op, "call": call_id, **fields}, data)
            while not finished:
                message = await answers.get()
                if message is None:
                    finished = True
                    raise self._died()
                finished = "event" not in message.header
                if "error" in message.header:
                    raise _error(message.header["error"])
                yield message
        finally:
            # What is not among the calls any more has its last answer, read or not.
            if call_id in self._calls and not self._gone:
                self._abandon(call_id)
            else:
                self._calls.pop(call_id, None)

    async def ask(self, op: str, *, data: bytes = b"", **fields: Any) -> wire.Message:
        """The result of an operation that has no events. Raises as `call`."""
        async with contextlib.aclosing(self.call(op, data=data, **fields)) as messages:
            async for message in messages:
                if "event" not in message.header:
                    return message
        raise self._died()

    async def settled(self) -> None:
        """Returns when no cancelled operation is still at work."""
        await self._settled.wait()

    async def close(self) -> None:
        """Ends the process at once."""
        self._kill()
        await self._reading

    def _abandon(self, call_id: int) -> None:
        """Cancels a call that nobody listens to any more."""
        self._writer.write(wire.encode({"op": "cancel", "call": call_id}))
        loop = asyncio.get_running_loop()
        self._abandoned[call_id] = loop.call_later(_CANCEL_SECONDS, self._kill)
        self._settled.clear()

    async def _send(self, header: dict[str, Any], data: bytes) -> None:
        if self._gone:
            raise self._died()
        try:
            self._writer.write(wire.encode(header, data))
            await self._writer.drain()
        except OSError:
            raise self._died() from None

    async def _read(self) -> None:
        """Hands what the worker says to those who asked, until it ends."""
        try:
            while True:
                message = await wire.receive(self._reader)
                call_id = message.header.get("call", 0)
                last = "event" not in message.header
                timer = self._abandoned.get(call_id)
                if timer is None:
                    if (answers := self._calls.get(call_id)) is not None:
                        answers.put_nowait(message)
                        if last:
                            del self._calls[call_id]
                elif last:
                    timer.cancel()
                    del self._abandoned[call_id]
                    self._calls.pop(call_id, None)
                    if not self._abandoned:
                        self._settled.set()
        except (EOFError, OSError, ValueError):
            pass  # it ended
        finally:
            self._gone = True
            for timer in self._abandoned.values():
                timer.cancel()
            for answers in self._calls.values():
                answers.put_nowait(None)
            self._settled.set()
            self._writer.close()
            self._kill()
            status = await asyncio.to_thread(self._process.wait)
            await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
            _log.info(
                "a speech worker ended",
                extra={"kind": self.kind, "pid": self.pid, "status": status},
            )

    def _kill(self) -> None:
        # A process that has ended already is left alone.
        self._process.kill()

    def _died(self) -> ServiceError:
        return ServiceError(
            Reason.SPEECH_WORKER_FAILED,
            f"the {self.kind} worker ended while it worked on this request; it is started again "
            "for the next one",
            metadata={"worker": self.kind},
            retry_after=_RETRY_SECONDS,
        )


async def start_process(kind: str, threads: int) -> WorkerProcess:
    """Starts a worker; it may take seconds until it answers.

    `threads` bounds the pools of the libraries.
    """
    # Its temporary files go with it, however it ends.
    scratch = Path(tempfile.mkdtemp(prefix="sterna-speech-"))
    ours, theirs = socket.socketpair()
    process: subprocess.Popen[bytes] | None = None
    try:
        process = _spawn(kind, threads, theirs, scratch)
        reader, writer = await asyncio.open_connection(sock=ours)
    except BaseException as error:
        ours.close()
        if process is not None:
            process.kill()
            process.wait()
        shutil.rmtree(scratch, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        problem = error.strerror or str(error)
        raise ServiceError(
            Reason.SPEECH_WORKER_FAILED,
            f"the {kind} worker cannot be started: {problem}; try again in a moment",
            metadata={"worker": kind},
            retry_after=_RETRY_SECONDS,
        ) from None
    _log.info("a speech worker starts", extra={"kind": kind, "pid": process.pid})
    return WorkerProcess(kind, process, reader, writer, scratch)


def _spawn(
    kind: str, threads: int, theirs: socket.socket, scratch: Path
) -> subprocess.Popen[bytes]:
    """Starts the process, on the thread of the event loop: the process ends with that thread.

    An event loop would fork to do it, and a fork of a process with this many threads may crash
    before it becomes the program. This one shares the memory until then.
    """
    with theirs:
        environment = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        environment |= {
            # The weights come from `sterna pull --voice`; a worker never downloads.
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "passive",
            "TOKENIZERS_PARALLELISM": "false",
            "TMPDIR": str(scratch),
        }
        command = [sys.executable, "-m", f"{__package__}.workers", kind, str(theirs.fileno())]
        return subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
        )


def _error(error: dict[str, Any]) -> ServiceError:
    return ServiceError(
        Reason(error["reason"]),
        error["message"],
        field=error["field"] or None,
        metadata=error["metadata"],
    )
