"""Stored conversations: who may use one when, for how long it is kept, what a turn adds to it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sterna_service.errors import Reason, ServiceError, invalid, out_of_range
from sterna_service.inference.spec import Message, ToolCall
from sterna_service.state.locks import Locks, NoLocks
from sterna_service.state.sessions import Document, SessionRecord, SessionRepository

LONGEST_TTL = timedelta(days=3650)

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Turn:
    """The use of a conversation by one call, which nobody else disturbs."""

    def __init__(
        self, sessions: Sessions, record: SessionRecord, messages: Sequence[Message]
    ) -> None:
        self.record = record
        self.messages = messages
        """What the conversation holds so far."""
        self.over = False
        """Whether the conversation was given back, or will be without further help."""
        self._sessions = sessions

    async def commit(self, messages: Sequence[Message]) -> None:
        """Adds messages to the conversation and gives it back.

        Once begun it is done even if the caller is cancelled.

        Raises:
            ServiceError: Meanwhile another process changed or deleted the conversation.
        """
        self.over = True
        await self._sessions.finish(self.record, messages)


class Sessions:
    """The conversations of one server. Belongs to the event loop.

    `owner` is for whom something is done. He sees what is his and what is nobody's; to nobody in
    particular, None, the conversations of owners do not exist.
    """

    def __init__(
        self,
        repository: SessionRepository,
        default_ttl: timedelta,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        locks: Locks | None = None,
    ) -> None:
        """`locks` keep other servers on the same database from using a session meanwhile."""
        self._repository = repository
        self._locks: Locks = locks or NoLocks()
        self._default_ttl = default_ttl
        self._clock = clock
        # By `row_id`: a conversation in use must not tell the owner of another with the same id.
        self._busy: set[str] = set()
        # The event loop alone would let go of them.
        self._commits: set[asyncio.Task[None]] = set()

    async def create(
        self,
        session_id: str,
        model_id: str,
        messages: Sequence[Message],
        ttl: timedelta | None,
        owner: str | None = None,
    ) -> SessionRecord:
        """Starts a conversation; without an id it gets a UUID, without `ttl` the usual one.

        Raises:
            ServiceError: The id is malformed or taken, or `ttl` out of range.
        """
        if session_id and not _ID.fullmatch(session_id):
            raise invalid(
                "session_id", "must be 1 to 64 characters of a-z, A-Z, 0-9, '_' and '-', or empty"
            )
        if ttl is not None and not timedelta() < ttl <= LONGEST_TTL:
            limit = f"above 0 s, at most {LONGEST_TTL // timedelta(seconds=1)} s"
            raise out_of_range("ttl", limit, f"{ttl.total_seconds():g} s")
        now = self._clock()
        ttl = self._default_ttl if ttl is None else ttl
        record = SessionRecord(
            session_id=session_id or str(uuid.uuid4()),
            model_id=model_id,
            create_time=now,
            update_time=now,
            expire_time=now + ttl,
            ttl=ttl,
            message_count=len(messages),
            owner=owner,
        )
        documents = [document_of(each) for each in messages]
        free = record.row_id not in self._busy
        if not await self._repository.create(record, documents, over_expired=free):
            raise ServiceError(
                Reason.SESSION_ALREADY_EXISTS,
                f"there is a session {session_id!r} already; choose another id, or leave it empty",
                metadata={"session": session_id},
            )
        return record

    async def get(self, session_id: str, owner: str | None = None) -> SessionRecord:
        """A conversation without its messages.

        Raises:
            ServiceError: There is none of that id, or it has expired.
        """
        if not session_id:
            raise invalid("session_id", "is required")
        record = None
        if _ID.fullmatch(session_id):
            record = await self._repository.get(session_id, owner, self._clock())
        if record is None:
            raise _not_found(session_id)
        return record

    async def messages(self, record: SessionRecord) -> list[Message]:
        """The messages of a conversation, oldest first."""
        return [message_of(each) for each in await self._repository.messages(record)]

    async def page(self, count: int, after: tuple[datetime, str] | None) -> list[SessionRecord]:
        """At most `count` conversations, whoever owns them, as `SessionRepository.page`."""
        return await self._repository.page(self._clock(), count, after)

    async def purge(self, now: datetime) -> int:
        """Removes the conversations that have expired and are not in use; returns how many."""
        return await self._repository.purge(now, self._busy)

    async def delete(self, session_id: str, owner: str | None = None) -> None:
        """Forgets a conversation.

        Raises:
            ServiceError: There is none of that id, or it is answering a call.
        """
        record = await self.get(session_id, owner)
        async with self._hold(record.row_id, session_id):
            if not await self._repository.delete(record, self._clock()):
                raise _not_found(session_id)

    @contextlib.asynccontextmanager
    async def turn(self, session_id: str, owner: str | None = None) -> AsyncIterator[Turn]:
        """Takes a conversation for one call. Without `Turn.commit` it stays as it was.

        Raises:
            ServiceError: There is none of that id, or it is answering another call.
        """
        turn: Turn | None = None
        # An owner's id may also mean one that is nobody's.
        row = session_id if owner is None else (await self.get(session_id, owner)).row_id
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._hold(row, session_id))
            record = await self.get(session_id, owner)
            if record.row_id != row:
                raise _not_found(session_id)  # gone since it was looked up
            turn = Turn(self, record, await self.messages(record))
            try:
                yield turn
            finally:
                if turn.over:
                    stack.pop_all()  # `finish` lets go

    async def finish(self, record: SessionRecord, messages: Sequence[Message]) -> None:
        """Does the work of `Turn.commit`."""
        task = asyncio.create_task(self._store(record, messages))
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        await asyncio.shield(task)

    async def _store(self, record: SessionRecord, messages: Sequence[Message]) -> None:
        try:
            documents = [document_of(each) for each in messages]
            if not await self._repository.append(record, documents, self._clock()):
                # Only another process can have done that.
                raise _busy(record.session_id)
        finally:
            await self._let_go(record.row_id)

    @contextlib.asynccontextmanager
    async def _hold(self, row: str, session_id: str) -> AsyncIterator[None]:
        if row in self._busy:
            raise _busy(session_id)
        self._busy.add(row)
        try:
            taken = await self._locks.take(row)
        except BaseException:
            # It may have been taken for a caller that is cancelled.
            await self._let_go(row)
            raise
        if not taken:
            self._busy.discard(row)
            raise _busy(session_id)
        try:
            yield
        finally:
            await self._let_go(row)

    async def _let_go(self, row: str) -> None:
        """Once begun it is done even if the caller is cancelled."""

        async def work() -> None:
            try:
                await self._locks.give_back(row)
            finally:
                self._busy.discard(row)

        task = asyncio.create_task(work())
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        await asyncio.shield(task)


def document_of(message: Message) -> Document:
    """A message as it is stored."""
    document: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name:
        document["name"] = message.name
    if message.tool_calls:
        document["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        document["tool_call_id"] = message.tool_call_id
    return document


def message_of(document: Document) -> Message:
    """A stored message."""
    return Message(
        role=document["role"],
        content=document["content"],
        name=document.get("name", ""),
        tool_calls=tuple(ToolCall(**call) for call in document.get("tool_calls", ())),
        tool_call_id=document.get("tool_call_id", ""),
    )


def _not_found(session_id: str) -> ServiceError:
    shown = session_id if len(session_id) <= 64 else f"{session_id[:64]}…"
    return ServiceError(
        Reason.SESSION_NOT_FOUND,
        f"there is no session {shown!r}, or it has expired; create it first",
        metadata={"session": shown},
    )


def _busy(session_id: str) -> ServiceError:
    return ServiceError(
        Reason.SESSION_BUSY,
        f"the session {session_id!r} is answering another call; wait for that, or cancel it",
        metadata={"session": session_id},
    )
