"""A spoken conversation: who speaks when, and what becomes of an answer that is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from typing import Any

from sterna_service.dialogue.answer import Answer
from sterna_service.dialogue.fields import renamed
from sterna_service.dialogue.hearing import Hearing
from sterna_service.dialogue.memory import Memory
from sterna_service.dialogue.outbox import Outbox
from sterna_service.dialogue.types import (
    Audio,
    Clear,
    Commit,
    Configured,
    DialogueConfig,
    DialogueEvent,
    DialogueInput,
    Generate,
    Interrupt,
    Interrupted,
    Refused,
    Respond,
    Stage,
    Text,
    TurnFailed,
    UserTurn,
)
from sterna_service.errors import Reason, ServiceError, invalid, out_of_range
from sterna_service.inference.sessions import Sessions
from sterna_service.inference.spec import ChatPrompt, Message
from sterna_service.speech.runtime import Speech
from sterna_service.speech.types import Activity, Interim, RecognitionEvent, Segment

MOST_TEXT = 65_536
"""Characters of one typed turn."""

# What would fail in the same way with every turn that follows.
_HOPELESS = (Reason.CONTEXT_LENGTH_EXCEEDED, Reason.CHAT_TEMPLATE_FAILED)


class Dialogue:
    """One conversation. Make one for each call; `run` may be iterated once."""

    def __init__(
        self, speech: Speech, sessions: Sessions, owner: str | None, generate: Generate
    ) -> None:
        """`owner` is whose stored conversations it may continue, as for `Sessions`."""
        self._speech = speech
        self._sessions = sessions
        self._owner = owner
        self._generate = generate
        self._outbox: Outbox[DialogueEvent] = Outbox()
        self._config: DialogueConfig
        self._memory: Memory
        self._hearing: Hearing
        self._answer: Answer | None = None
        self._answering: asyncio.Task[None] | None = None
        self._next_config: DialogueConfig | None = None
        self._respond_next = False
        """An answer is due once the one in progress is over, or what was said is recognised."""
        self._cut: str | None = None
        """What was heard of the last answer, when it was interrupted."""
        self._storing: asyncio.Task[None] | None = None
        self._finished = False
        """Whether everything that came was answered, and the answers were sent."""

    async def run(
        self, config: DialogueConfig, inputs: AsyncIterator[DialogueInput]
    ) -> AsyncGenerator[DialogueEvent]:
        """Holds the conversation until `inputs` end and the last answer was sent.

        Iterate it inside `contextlib.aclosing`: closing it ends all of the work, and stores what
        was said.

        Raises:
            ServiceError: The configuration is not valid, nothing came for too long, or the server
                failed. What concerns one turn is told as `TurnFailed` instead.
        """
        await self._check(config)
        self._config = config
        self._memory = Memory(
            self._sessions, config.generation.session_id, _beginning(config), self._owner
        )
        await self._memory.prompt(())  # the session must be there
        self._hearing = Hearing(self._speech.recognition, self._heard)
        self._outbox.put(Configured())
        reading = asyncio.create_task(self._guarded(self._read(inputs)))
        try:
            async with contextlib.aclosing(self._outbox.read()) as events:
                async for event in events:
                    yield event
        finally:
            await asyncio.shield(asyncio.ensure_future(self._end(reading)))

    async def _check(self, config: DialogueConfig) -> None:
        spec = config.generation
        if not isinstance(spec.prompt, ChatPrompt):
            raise invalid("config.generation.prompt", "must be a chat")
        if spec.prompt.tools:
            raise invalid("config.generation.chat.tools", "must be empty: nobody could run them")
        if spec.choice_count > 1:
            raise out_of_range("config.generation.choice_count", "1", spec.choice_count)
        with renamed("config", "config.recognition"):
            self._speech.recognition.check(config.recognition)
        if config.synthesis is not None:
            with renamed("config", "config.synthesis"):
                await self._speech.synthesis.check(config.synthesis)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Does a part of the work; what it raises ends the conversation."""
        try:
            await work
        except Exception as error:
            self._outbox.close(error)

    async def _read(self, inputs: AsyncIterator[DialogueInput]) -> None:
        async with contextlib.aclosing(self._timely(inputs)) as timely:
            async for each in timely:
                await self._outbox.ready()
                match each:
                    case DialogueConfig():
                        await self._reconfigure(each)
                    case Audio():
                        await self._hearing.feed(self._config, each.data)
                    case Commit():
                        await self._hearing.commit(self._config)
                    case Clear():
                        await self._hearing.clear()
                    case Interrupt():
                        await self._interrupt(each.played)
                    case Respond():
                        await self._respond_with(each.config)
                    case Text():
                        await self._typed(each.text)
                    case Refused(error, is_config):
                        refused = Configured(error) if is_config else _bad_input(error)
                        self._outbox.put(refused)
                    case Message():
                        await self._add(each)
        await self._hearing.finish()
        if self._answering is not None:
            await asyncio.wait([self._answering])
        self._finished = True
        self._outbox.close()

    async def _timely(self, inputs: AsyncIterator[DialogueInput]) -> AsyncGenerator[DialogueInput]:
        """The inputs; an error when none comes for too long and nothing else is going on."""
        seconds = self._speech.options.conversation_idle_seconds
        waiting: asyncio.Task[DialogueInput | None] | None = None
        try:
            while True:
                waiting = waiting or asyncio.create_task(_next(inputs))
                patience = seconds + (self._answer.playing_seconds if self._answer else 0.0)
                await asyncio.wait([waiting], timeout=patience)
                if waiting.done():
                    each, waiting = waiting.result(), None
                    if each is None:
                        return
                    yield each
                elif not (self._in_progress or self._hearing.busy):
                    raise ServiceError(
                        Reason.DEADLINE_EXCEEDED,
                        f"nothing came for {seconds:g} s; send audio, silence too, or text",
                        metadata={"limit": f"{seconds:g}"},
                    )
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.wait([waiting])

    @property
    def _in_progress(self) -> bool:
        return self._answering is not None and not self._answering.done()

    async def _check_again(self, config: DialogueConfig) -> None:
        await self._check(config)
        if config.generation.session_id != self._config.generation.session_id:
            raise invalid("config.generation.session_id", "cannot be changed")

    async def _reconfigure(self, config: DialogueConfig) -> None:
        try:
            await self._check_again(config)
        except ServiceError as error:
            self._outbox.put(Configured(error))
            return
        self._memory.begin_with(_beginning(config))
        self._config = config
        self._outbox.put(Configured())

    async def _respond_with(self, config: DialogueConfig | None) -> None:
        if config is not None:
            try:
                await self._check_again(config)
            except ServiceError as error:
                self._outbox.put(_bad_input(error))
                return
        self._next_config = config
        await self._respond()

    async def _typed(self, text: str) -> None:
        if not text.strip() or len(text) > MOST_TEXT:
            size = f"1 to {MOST_TEXT} characters that are not white space"
            self._outbox.put(_bad_input(out_of_range("text", size, len(text))))
            return
        if self._config.interruptible:
            await self._interrupt(None)
        await self._took(text)

    async def _heard(self, event: RecognitionEvent | UserTurn | ServiceError) -> None:
        """Takes what the recogniser says."""
        match event:
            case ServiceError():
                self._respond_next = False
                self._outbox.put(TurnFailed(event, Stage.RECOGNITION))
            case UserTurn():
                await self._took(event.text)
            case Activity() | Interim() | Segment():
                if isinstance(event, Activity) and event.began and self._config.interruptible:
                    await self._interrupt(None)
                self._outbox.put(event)
            case _:
                pass

    async def _took(self, text: str) -> None:
        """The person said something, or nothing that could be understood."""
        self._outbox.put(UserTurn(text))
        if text and not await self._add(Message("user", text)):
            return
        if self._respond_next or (text and self._config.answer_turns):
            await self._respond()

    async def _add(self, message: Message) -> bool:
        """Puts a message among what waits for an answer; False when there is no room for it."""
        try:
            self._memory.add(message)
        except ServiceError as error:
            self._outbox.put(_bad_input(error))
            return False
        return True

    async def _respond(self) -> None:
        """Answers what waits, after the answer in progress and what is being recognised."""
        if self._in_progress or self._hearing.awaited:
            self._respond_next = True
        else:
            self._answering = asyncio.create_task(self._guarded(self._answer_turns()))

    async def _answer_turns(self) -> None:
        """Answers what waits, and what came to wait meanwhile."""
        while True:
            self._respond_next = False
            self._answer = self._cut = None
            await self._commit()
            once, self._next_config = self._next_config, None
            config = once or self._config
            try:
                messages = await self._memory.prompt(_beginning(config))
            except ServiceError as error:
                self._outbox.put(TurnFailed(error, Stage.ANSWER))
                return
            await self._give(
                Answer(config, messages, self._generate, self._speech.synthesis, self._outbox)
            )
            if not self._respond_next or self._hearing.awaited:
                return

    async def _give(self, answer: Answer) -> None:
        self._answer = answer
        try:
            await answer.run()
        except ServiceError as error:
            self._outbox.drop_audio()
            heard = answer.heard()
            if heard:
                self._memory.answered(heard)
            elif error.reason in _HOPELESS:
                self._memory.forget()
            else:
                self._memory.unanswered()
            self._answer = None
            self._outbox.put(TurnFailed(error, Stage.ANSWER))
            return
        self._memory.answered(answer.text)
        # Until it was played to its end it can still be cut.
        asyncio.get_running_loop().call_later(answer.playing_seconds, self._played, answer)

    def _played(self, answer: Answer) -> None:
        if self._answer is answer and not answer.playing and self._cut is None:
            self._storing = asyncio.create_task(self._guarded(self._commit()))

    async def _interrupt(self, played: float | None) -> None:
        """Stops the answer in progress, or corrects what was heard of the one stopped last."""
        answer, running = self._answer, self._in_progress
        if not running and (
            answer is None or (played is None and (self._cut is not None or not answer.playing))
        ):
            return
        if running and self._answering is not None:
            self._answering.cancel()
            await asyncio.wait([self._answering])
        self._outbox.drop_audio()
        heard = answer.heard(played) if answer is not None else ""
        if running:
            if answer is not None and not answer.complete:
                self._memory.answered(heard)
            else:
                self._memory.unanswered()
        if answer is not None:
            self._memory.cut(heard)
            played = answer.played if played is None else played
        self._cut = heard
        self._outbox.put(Interrupted(heard, played or 0.0))

    async def _commit(self) -> None:
        try:
            await self._memory.commit()
        except ServiceError as error:
            self._outbox.put(TurnFailed(error, Stage.ANSWER))

    async def _end(self, reading: asyncio.Task[None]) -> None:
        """Ends all work, and stores what was said and heard."""
        for task in (reading, self._answering):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await self._hearing.close()
        answer = self._answer
        if answer is not None and not self._finished and self._cut is None:
            heard = answer.heard()
            if not answer.complete:
                self._memory.answered(heard)
            self._memory.cut(heard)
        with contextlib.suppress(ServiceError):
            await self._memory.commit()


def _beginning(config: DialogueConfig) -> Sequence[Message]:
    prompt = config.generation.prompt
    assert isinstance(prompt, ChatPrompt)
    return prompt.messages


def _bad_input(error: ServiceError) -> TurnFailed:
    return TurnFailed(error, Stage.INPUT)


async def _next(inputs: AsyncIterator[DialogueInput]) -> DialogueInput | None:
    return await anext(inputs, None)
