"""What a conversation holds: what was said by the person, and of the answers what was heard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sterna_service.errors import Reason, ServiceError, out_of_range
from sterna_service.inference.sessions import Sessions
from sterna_service.inference.spec import Message

MOST_MESSAGES = 2000
MOST_CHARACTERS = 4 * 1024 * 1024
"""Of all messages of a conversation together; no context window holds so many."""
_INSTRUCTIONS = ("system", "developer")
# Seconds between tries while another call uses the stored conversation.
_BUSY_DELAYS = (0.05, 0.2, 0.5, 1.0)


class Memory:
    """The messages of one conversation, in a session if it has one.

    A turn goes through three states: `add` puts what the person said among what waits for an
    answer; `answered` puts it, with the answer, among what was said; `commit` makes that final,
    and stores it. Until then the answer can still be cut to what was heard of it.
    """

    def __init__(
        self,
        sessions: Sessions,
        session_id: str,
        beginning: Sequence[Message],
        owner: str | None = None,
    ) -> None:
        self._sessions = sessions
        self._owner = owner
        self._session_id = session_id
        self._beginning = list(beginning)
        self._unstored_beginning = list(beginning)
        self._final: list[Message] = []
        self._said: list[Message] = []
        self._waiting: list[Message] = []
        self._asked = 0
        """How many of those that wait are being answered."""

    def begin_with(self, messages: Sequence[Message]) -> None:
        """Replaces the messages that the conversation began with."""
        if list(messages) != self._beginning:
            self._beginning = list(messages)
            self._unstored_beginning = list(messages)

    def add(self, message: Message) -> None:
        """Takes what the person said, or another message. Raises `ServiceError`."""
        count = len(self._final) + len(self._said) + len(self._waiting)
        if count >= MOST_MESSAGES:
            raise out_of_range("message", f"at most {MOST_MESSAGES} in a conversation", count + 1)
        held = (*self._final, *self._said, *self._waiting, message)
        size = sum(len(each.content) for each in held)
        if size > MOST_CHARACTERS:
            limit = f"at most {MOST_CHARACTERS} characters in a conversation, all messages together"
            raise out_of_range("message", limit, size)
        last = self._waiting[-1] if len(self._waiting) > self._asked else None
        if last is not None and last.role == message.role == "user":
            # Somebody who goes on before the answer begins: one turn to the model.
            self._waiting[-1] = replace(last, content=f"{last.content}\n{message.content}")
        else:
            self._waiting.append(message)

    async def prompt(self, beginning: Sequence[Message]) -> list[Message]:
        """All messages, which are now to be answered. Raises `ServiceError`.

        `beginning` is what the conversation begins with, this time.
        """
        before = [*beginning, *self._final]
        if self._session_id:
            record = await self._sessions.get(self._session_id, self._owner)
            stored = await self._sessions.messages(record)
            new = list(beginning) != self._beginning
            before = [*stored, *(beginning if new else self._unstored_beginning)]
        self._asked = len(self._waiting)
        return [*before, *self._said, *self._waiting]

    def answered(self, text: str) -> None:
        """What was asked is answered with `text`."""
        self._said += [*self._waiting[: self._asked], Message("assistant", text)]
        self.forget()

    def unanswered(self) -> None:
        """What was asked still waits, with what comes."""
        self._asked = 0

    def forget(self) -> None:
        """Drops what was asked."""
        self._waiting = self._waiting[self._asked :]
        self._asked = 0

    def cut(self, text: str) -> bool:
        """Of the last answer only `text` was heard; nothing at all leaves the turn unanswered.

        False when it is final already.
        """
        if not self._said:
            return False
        if text:
            self._said[-1] = replace(self._said[-1], content=text)
            return True
        again = [*self._said[:-1], *self._waiting]
        self._said, self._waiting, self._asked = [], [], 0
        for message in again:
            self.add(message)
        return True

    async def commit(self) -> None:
        """Makes what was said final. Raises `ServiceError`; then nothing was stored."""
        if not self._said:
            return
        said, self._said = self._said, []
        if not self._session_id:
            self._final += said
            return
        beginning, self._unstored_beginning = self._unstored_beginning, []
        try:
            await self._store([*beginning, *said])
        except BaseException:
            self._said = [*said, *self._said]
            self._unstored_beginning = beginning
            raise

    async def _store(self, messages: Sequence[Message]) -> None:
        for delay in (*_BUSY_DELAYS, None):
            try:
                async with self._sessions.turn(self._session_id, self._owner) as turn:
                    await turn.commit(messages)
                return
            except ServiceError as error:
                if error.reason is not Reason.SESSION_BUSY or delay is None:
                    raise
                await asyncio.sleep(delay)


def shortened(messages: Sequence[Message]) -> list[Message] | None:
    """Without the oldest turn; None when only instructions and the last turn are left."""
    first = next(
        (i for i, each in enumerate(messages) if each.role not in _INSTRUCTIONS), len(messages)
    )
    following = next(
        (i for i in range(first + 1, len(messages)) if messages[i].role == "user"), None
    )
    return None if following is None else [*messages[:first], *messages[following:]]
