"""The calls of one server: how many there are, and whether new ones are welcome."""

from __future__ import annotations

import asyncio
import contextvars
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from grpc.aio import ServicerContext

from sterna_service.errors import Reason, ServiceError
from sterna_service.rpc.gate import NOBODY, Caller, allowance_headers
from sterna_service.telemetry.record import CallRecord

REQUEST_ID_KEY = "x-request-id"

# What a server that stops suggests to its clients: another replica answers at once.
DRAINING_RETRY_SECONDS = 1.0

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

_current: contextvars.ContextVar[Call] = contextvars.ContextVar("call")


@dataclass(slots=True)
class Call:
    """One call. `notes` go into its line in the access log; never put text of users there."""

    method: str
    request_id: str
    record: CallRecord
    caller: Caller = NOBODY
    spent: int = 0
    """Tokens computed so far, of prompt and answer, that were not charged yet."""
    notes: dict[str, object] = field(default_factory=dict)
    _greeted: bool = False

    def note_tokens(self, prompt: int, cached: int, completion: int) -> None:
        """Adds tokens, for the line in the log and for the usage."""
        for name, count in (
            ("prompt_tokens", prompt),
            ("cached_tokens", cached),
            ("completion_tokens", completion),
        ):
            before = self.notes.get(name, 0)
            assert isinstance(before, int)
            self.notes[name] = before + count

    async def greet(self, context: ServicerContext[Any, Any]) -> None:
        """Sends the initial metadata now, if that was not done before."""
        if not self._greeted:
            self._greeted = True
            visit = self.caller.visit
            state = allowance_headers(visit.requests, visit.tokens) if visit is not None else ()
            await context.send_initial_metadata(((REQUEST_ID_KEY, self.request_id), *state))


def current_call() -> Call:
    """The call that the running task serves."""
    return _current.get()


def owner_of_call() -> str | None:
    """Whose sessions and stored answers the running call may see; None: nobody's in particular."""
    key = current_call().caller.key
    return None if key is None else key.key_id


def enter_call(call: Call) -> None:
    """Makes `call` the one that the running task serves."""
    _current.set(call)


def request_id_of(context: ServicerContext[Any, Any]) -> str:
    """The caller's request id if it sent a decent one, else a new one."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _ACCEPTABLE_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex


class CallBook:
    """Counts calls, and turns new work away once the server is stopping."""

    def __init__(self) -> None:
        self.active = 0
        """Calls that run now."""
        self.total = 0
        """Calls since the start."""
        self.failed = 0
        """Of these, those that ended with a status other than OK and CANCELLED."""
        self.draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self, *, is_work: bool, is_waited_for: bool) -> bool:
        """Notes that a call begins. Work is refused while draining; questions are answered.

        Returns:
            Whether `leave` must be called when it ends: if a stopping server waits for it.

        Raises:
            ServiceError: The server is stopping.
        """
        self.total += 1
        if self.draining and is_work:
            raise ServiceError(
                Reason.SERVER_DRAINING,
                "the server is stopping; ask another one, or try again in a moment",
                retry_after=DRAINING_RETRY_SECONDS,
            )
        if is_waited_for:
            self.active += 1
            self._idle.clear()
        return is_waited_for

    def leave(self) -> None:
        """Notes that a call which was let in ended."""
        self.active -= 1
        if self.active == 0:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Returns when no call runs."""
        await self._idle.wait()
