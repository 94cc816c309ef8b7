"""Stored answers: for how long they are kept, what follows them, and calls that use them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sterna_service.errors import Reason, ServiceError, invalid, out_of_range
from sterna_service.inference.conversation import Reply
from sterna_service.inference.events import GenerationEvent, Started, Usage
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.sessions import LONGEST_TTL, document_of, message_of
from sterna_service.inference.spec import AnswerStorage, ChatPrompt, GenerationSpec, Message
from sterna_service.state.answers import AnswerRecord, AnswerRepository

MOST_DOCUMENT_BYTES = 1024 * 1024

_ID = re.compile(r"[0-9a-f]{32}")


class Recorder(Protocol):
    """Collects the events of an answer into the form in which it is stored."""

    def add(self, event: GenerationEvent) -> None:
        """Takes the next event."""
        ...

    def result(self) -> bytes:
        """All of them, after the last."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What is stored of a call besides its answer."""

    previous: Sequence[AnswerRecord]
    """What it follows, oldest first."""
    messages: Sequence[Message]
    storage: AnswerStorage


class Answers:
    """The stored answers of one server."""

    def __init__(
        self,
        repository: AnswerRepository,
        default_ttl: timedelta,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._repository = repository
        self._default_ttl = default_ttl
        self._clock = clock

    async def chain(self, response_id: str, owner: str | None) -> list[AnswerRecord]:
        """An answer and, before it, what it follows as far as that is still there, oldest first.

        Raises:
            ServiceError: There is no such answer.
        """
        if not response_id:
            raise invalid("response_id", "is required")
        found: list[AnswerRecord] = []
        if _ID.fullmatch(response_id):
            found = await self._repository.chain(response_id, owner, self._clock())
        if not found:
            raise _not_found(response_id, "or it has expired")
        return found

    async def continued(self, response_id: str, owner: str | None) -> list[AnswerRecord]:
        """As `chain`, for a call that goes on from there, which needs all of it.

        Raises:
            ServiceError: There is no such answer, or one that it follows is gone.
        """
        found = await self.chain(response_id, owner)
        if missing := found[0].previous_response_id:
            why = f"which {response_id!r} follows: it expired or was deleted"
            raise _not_found(missing, f"{why}; send the whole conversation instead")
        return found

    async def delete(self, response_id: str, owner: str | None) -> None:
        """Forgets an answer.

        Raises:
            ServiceError: There is none of that id.
        """
        if not response_id:
            raise invalid("response_id", "is required")
        now = self._clock()
        if not (
            _ID.fullmatch(response_id) and await self._repository.delete(response_id, owner, now)
        ):
            raise _not_found(response_id, "or it has expired")

    async def purge(self, now: datetime) -> int:
        """Removes the answers that have expired; returns how many."""
        return await self._repository.purge(now)

    async def add(
        self, asked: Asked, started: Started, answer: Message, result: bytes, owner: str | None
    ) -> None:
        """Keeps an answer."""
        now = self._clock()
        ttl = self._default_ttl if asked.storage.ttl is None else asked.storage.ttl
        record = AnswerRecord(
            response_id=started.response_id,
            previous_response_id=asked.storage.previous_response_id,
            owner=owner,
            # What follows it goes on with the same adapter.
            model_id=f"{started.model_id}:{started.adapter_id}"
            if started.adapter_id
            else started.model_id,
            create_time=started.create_time,
            expire_time=now + ttl,
            ttl=ttl,
            messages=[document_of(each) for each in asked.messages],
            answer=document_of(answer),
            result=result,
            document=asked.storage.document,
        )
        await self._repository.add(record, [each.response_id for each in asked.previous])


async def generate_stored(
    answers: Answers,
    spec: GenerationSpec,
    owner: str | None,
    recorder: Recorder,
    resolve: Callable[[str], Awaitable[LoadedModel]],
    generate: Callable[[LoadedModel, GenerationSpec], AsyncGenerator[GenerationEvent]],
) -> AsyncGenerator[GenerationEvent]:
    """Answers as `generate` does, after the stored answer that `spec.storage` names, if any.

    `resolve` finds the model by the name in the call or, if that is empty, the one that answered
    before. The answer is stored before `Usage` is yielded, and nothing is if the call does not get
    there.

    Raises:
        ServiceError: As `generate`; the storage is not valid, or there is no such answer.
    """
    prompt, storage = _checked(spec)
    previous: list[AnswerRecord] = []
    if storage.previous_response_id:
        previous = await answers.continued(storage.previous_response_id, owner)
    model = await resolve(spec.model_id or (previous[-1].model_id if previous else ""))
    whole = replace(prompt, messages=[*_before(storage, previous), *prompt.messages])
    reply = Reply()
    started: Started | None = None
    async with contextlib.aclosing(generate(model, replace(spec, prompt=whole))) as events:
        async for event in events:
            reply.take(event)
            recorder.add(event)
            if isinstance(event, Started):
                started = event
            elif isinstance(event, Usage) and storage.store:
                assert started is not None
                *messages, answer = reply.added_to(prompt)
                asked = Asked(previous, messages, storage)
                await answers.add(asked, started, answer, recorder.result(), owner)
            yield event


def _checked(spec: GenerationSpec) -> tuple[ChatPrompt, AnswerStorage]:
    prompt, storage = spec.prompt, spec.storage
    assert storage is not None
    if not isinstance(prompt, ChatPrompt):
        raise invalid("spec.storage", "needs a chat prompt")
    if spec.session_id:
        raise invalid("spec.storage", "does not go with a session; leave one of them out")
    if spec.choice_count > 1:
        limit = "1 where an answer is stored or continued"
        raise out_of_range("spec.choice_count", limit, spec.choice_count)
    if not prompt.messages:
        raise invalid("spec.chat.messages", "must hold at least one message")
    size = len(storage.document.encode())
    if size > MOST_DOCUMENT_BYTES:
        limit = f"at most {MOST_DOCUMENT_BYTES} bytes"
        raise out_of_range("spec.storage.document", limit, f"{size} bytes")
    if "\0" in storage.document:
        # Not every database takes it.
        raise invalid("spec.storage.document", "must not hold the character U+0000")
    ttl = storage.ttl
    if ttl is not None and not timedelta() < ttl <= LONGEST_TTL:
        limit = f"above 0 s, at most {LONGEST_TTL // timedelta(seconds=1)} s"
        raise out_of_range("spec.storage.ttl", limit, f"{ttl.total_seconds():g} s")
    return prompt, storage


def _before(storage: AnswerStorage, previous: Sequence[AnswerRecord]) -> list[Message]:
    """What stands before the messages of a call."""
    messages = [Message("system", storage.instructions)] if storage.instructions else []
    for record in previous:
        messages += map(message_of, record.messages)
        messages.append(message_of(record.answer))
    return messages


def _not_found(response_id: str, why: str) -> ServiceError:
    shown = response_id if len(response_id) <= 64 else f"{response_id[:64]}…"
    return ServiceError(
        Reason.ANSWER_NOT_FOUND,
        f"there is no stored answer {shown!r}, {why}",
        metadata={"response": shown},
    )
