"""Answers a call that continues a stored conversation."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace

from sterna_service.errors import invalid, out_of_range
from sterna_service.inference import json_text
from sterna_service.inference.events import Delta, GenerationEvent, Started, Usage
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.sessions import Sessions
from sterna_service.inference.spec import ChatPrompt, GenerationSpec, Message, ToolCall


async def generate_in_session(
    sessions: Sessions,
    spec: GenerationSpec,
    owner: str | None,
    resolve: Callable[[str], Awaitable[LoadedModel]],
    generate: Callable[[LoadedModel, GenerationSpec], AsyncGenerator[GenerationEvent]],
) -> AsyncGenerator[GenerationEvent]:
    """Answers as `generate` does, after what the session holds, and adds the turn to the session.

    `resolve` finds the model by the name in the call or, if that is empty, in the session. The turn
    is stored before `Usage` is yielded, and nothing is if the call does not get there.

    Raises:
        ServiceError: As `generate`; there is no such session, or it is busy.
    """
    prompt = spec.prompt
    if not isinstance(prompt, ChatPrompt):
        raise invalid("spec.session_id", "needs a chat prompt")
    if spec.choice_count > 1:
        raise out_of_range("spec.choice_count", "1 in a session", spec.choice_count)
    if not prompt.messages:
        raise invalid("spec.chat.messages", "must hold at least one message")
    async with sessions.turn(spec.session_id, owner) as turn:
        model = await resolve(spec.model_id or turn.record.model_id)
        whole = replace(prompt, messages=[*turn.messages, *prompt.messages])
        answer = Reply()
        async with contextlib.aclosing(generate(model, replace(spec, prompt=whole))) as events:
            async for event in events:
                answer.take(event)
                if isinstance(event, Started):
                    event = replace(event, session_id=spec.session_id)
                elif isinstance(event, Usage):
                    await turn.commit(answer.added_to(prompt))
                yield event


class Reply:
    """Collects what the model says, as a message."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, ToolCall] = {}

    def take(self, event: GenerationEvent) -> None:
        """Takes the next event."""
        if isinstance(event, Delta):
            self._texts.append(event.text)
            for piece in event.tool_calls:
                before = self._calls.get(piece.index)
                self._calls[piece.index] = (
                    ToolCall(piece.id, piece.name, piece.arguments)
                    if before is None
                    else replace(before, arguments=before.arguments + piece.arguments)
                )

    def added_to(self, prompt: ChatPrompt) -> Sequence[Message]:
        """The messages of the turn; the last is the answer."""
        text = "".join(self._texts)
        calls = [call for _, call in sorted(self._calls.items()) if _is_object(call.arguments)]
        if prompt.continue_final_message:
            last = prompt.messages[-1]
            last = replace(last, content=last.content + text, tool_calls=calls)
            return [*prompt.messages[:-1], last]
        return [*prompt.messages, Message("assistant", text, tool_calls=calls)]


def _is_object(arguments: str) -> bool:
    """Whether a call is whole; the last one is not when the answer reached its limit."""
    try:
        return isinstance(json_text.parse(arguments), dict)
    except ValueError:
        return False
