"""Turns the engine's events of one call into text, tool calls and usage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sterna_service.engine import types as engine
from sterna_service.inference.detokenizer import AnswerText, Piece
from sterna_service.inference.events import (
    ChoiceFinished,
    Delta,
    FinishReason,
    TokenAlternative,
    TokenLogprob,
    Usage,
)
from sterna_service.inference.spec import GenerationSpec
from sterna_service.inference.tokenizer import Tokenizer
from sterna_service.inference.tool_calls import Part, ToolCallReader
from sterna_service.inference.tools import offers_tools

_FINISH_REASONS = {
    engine.FinishReason.STOP: FinishReason.STOP,
    engine.FinishReason.LENGTH: FinishReason.LENGTH,
}


@dataclass(slots=True)
class _Choice:
    text: AnswerText[engine.Token]
    tools: ToolCallReader | None
    """Present when the answer may call tools."""
    finished: bool = False


class Answer:
    """Turns the engine's events into those of the call."""

    def __init__(
        self, tokenizer: Tokenizer, spec: GenerationSpec, request: engine.EngineRequest
    ) -> None:
        self._tokenizer = tokenizer
        self._with_logprobs = spec.logprobs is not None
        self._stop_token_ids = frozenset(spec.stop.stop_token_ids)
        self._choices = [
            _Choice(
                AnswerText(tokenizer, spec.stop.stop_strings, request.min_tokens),
                ToolCallReader() if offers_tools(spec.prompt) else None,
            )
            for _ in range(request.choices)
        ]
        self._open = request.choices
        self._completion_tokens = 0
        self._started: engine.Started | None = None
        self._start = self._end = time.monotonic()

    @property
    def complete(self) -> bool:
        """Whether every choice has ended."""
        return self._open == 0

    def start(self, started: engine.Started) -> None:
        self._started = started
        self._start = time.monotonic()

    def take(
        self, batch: Sequence[engine.EngineEvent]
    ) -> Iterator[engine.Started | Delta | ChoiceFinished]:
        """The events that follow from some of the engine's: one delta per choice and batch."""
        ready: dict[int, Piece[engine.Token]] = {}
        for event in batch:
            match event:
                case engine.Started():
                    yield event
                case engine.Token():
                    yield from self._token(event, ready)
                case engine.Finished():
                    yield from self._finished(event, ready)
        for index, piece in ready.items():
            yield from self._delta(index, piece)
        self._end = time.monotonic()

    def usage(self) -> Usage:
        started = self._started
        assert started is not None
        return Usage(
            prompt_tokens=started.prompt_tokens,
            completion_tokens=self._completion_tokens,
            cached_tokens=started.cached_tokens,
            queue_seconds=started.queue_seconds,
            prefill_seconds=started.prefill_seconds,
            decode_seconds=self._end - self._start,
        )

    def _token(
        self, event: engine.Token, ready: dict[int, Piece[engine.Token]]
    ) -> Iterator[Delta | ChoiceFinished]:
        choice = self._choices[event.choice]
        if choice.finished:
            return  # the engine goes on until all choices have ended
        self._completion_tokens += 1
        _append(ready, event.choice, choice.text.feed(event.token, event))
        if choice.text.stop_string is not None:
            yield from self._end_choice(
                event.choice, ready, FinishReason.STOP, stop_string=choice.text.stop_string
            )

    def _finished(
        self, event: engine.Finished, ready: dict[int, Piece[engine.Token]]
    ) -> Iterator[Delta | ChoiceFinished]:
        choice = self._choices[event.choice]
        if choice.finished:
            return
        if event.reason is engine.FinishReason.STOP:
            self._completion_tokens += 1  # the end token
        _append(ready, event.choice, choice.text.finish())
        # The last bytes may still complete a stop string.
        stop_string = choice.text.stop_string
        asked_for = stop_string is None and event.stop_token in self._stop_token_ids
        yield from self._end_choice(
            event.choice,
            ready,
            FinishReason.STOP if stop_string is not None else _FINISH_REASONS[event.reason],
            stop_string=stop_string,
            stop_token_id=event.stop_token if asked_for else None,
        )

    def _end_choice(
        self,
        index: int,
        ready: dict[int, Piece[engine.Token]],
        reason: FinishReason,
        stop_string: str | None = None,
        stop_token_id: int | None = None,
    ) -> Iterator[Delta | ChoiceFinished]:
        choice = self._choices[index]
        choice.finished = True
        self._open -= 1
        yield from self._delta(index, ready.pop(index, Piece()), last=True)
        if (
            choice.tools is not None
            and choice.tools.complete
            and reason is FinishReason.STOP
            and stop_string is None
        ):
            yield ChoiceFinished(index, FinishReason.TOOL_CALLS)
        else:
            yield ChoiceFinished(index, reason, stop_string, stop_token_id)

    def _delta(
        self, index: int, piece: Piece[engine.Token], *, last: bool = False
    ) -> Iterator[Delta]:
        reader = self._choices[index].tools
        part = Part(piece.text)
        if reader is not None:
            part = reader.feed(piece.text)
            if last:
                part.text += reader.finish().text
        if not part.text and not part.calls and not piece.tokens:
            return
        logprobs = (
            [
                token_logprob(self._tokenizer, token.token, token.logprob, token.top_logprobs)
                for token in piece.tokens
            ]
            if self._with_logprobs
            else []
        )
        token_ids = [token.token for token in piece.tokens]
        yield Delta(index, part.text, token_ids, logprobs, part.calls)


def _append(ready: dict[int, Piece[engine.Token]], index: int, piece: Piece[engine.Token]) -> None:
    whole = ready.setdefault(index, Piece())
    whole.text += piece.text
    whole.tokens += piece.tokens


def token_logprob(
    tokenizer: Tokenizer,
    token_id: int,
    logprob: float | None,
    top: Sequence[tuple[int, float]] = (),
) -> TokenLogprob:
    """A token with its log-probability, spelled out, and those most likely in its place."""
    return TokenLogprob(
        token_id=token_id,
        text=tokenizer.token_text(token_id),
        raw_bytes=tokenizer.token_bytes(token_id),
        logprob=logprob,
        top=[
            TokenAlternative(id, tokenizer.token_text(id), tokenizer.token_bytes(id), likelihood)
            for id, likelihood in top
        ],
    )
