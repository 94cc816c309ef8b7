"""Answers one call for text: checks it, runs it, and reports what happens."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sterna_service.engine import types as engine
from sterna_service.errors import Reason, ServiceError, out_of_range, unsupported
from sterna_service.inference.detokenizer import AnswerText, Piece
from sterna_service.inference.events import (
    Accepted,
    ChoiceFinished,
    Delta,
    FinishReason,
    GenerationEvent,
    Started,
    TokenAlternative,
    TokenLogprob,
    Usage,
)
from sterna_service.inference.grammar import Guide
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.prompt import EncodedPrompt, PromptTooLongError
from sterna_service.inference.sampling import (
    MOST_CHOICES,
    MOST_TOP_LOGPROBS,
    check_stop,
    resolve_sampling,
)
from sterna_service.inference.spec import ChatPrompt, GenerationSpec, Prompt, TextPrompt
from sterna_service.inference.steering import Steering
from sterna_service.inference.tokenizer import Tokenizer

# Prompts with more characters are tokenized beside the event loop, which takes milliseconds.
_LONG_PROMPT = 16 * 1024

_FINISH_REASONS = {
    engine.FinishReason.STOP: FinishReason.STOP,
    engine.FinishReason.LENGTH: FinishReason.LENGTH,
}


async def generate(model: LoadedModel, spec: GenerationSpec) -> AsyncGenerator[GenerationEvent]:
    """Answers a call and yields its events: `Accepted` first, `Usage` last.

    Iterate it inside `contextlib.aclosing`: closing it frees what the call holds in the engine.

    Raises:
        ServiceError: The call is not valid, or cannot be served now.
    """
    field = "spec"
    request, prompt = await _prepare(model, spec, field)
    guides = await _compile_guides(model, spec, request.choices, field)
    response_id = uuid.uuid4().hex
    create_time = datetime.now(UTC)
    answer = _Answer(model.tokenizer, spec, request)
    model.touch()
    async with model.port.run(request) as run:
        steering = Steering(run, guides)
        yield Accepted(response_id, create_time, model.model_id)
        async for batch in run:
            steering.follow(batch)
            for event in answer.take(batch):
                if isinstance(event, engine.Started):
                    answer.start(event)
                    yield Started(
                        response_id=response_id,
                        create_time=create_time,
                        model_id=model.model_id,
                        prompt_tokens=event.prompt_tokens,
                        cached_tokens=event.cached_tokens,
                        queue_seconds=event.queue_seconds,
                        prefill_seconds=event.prefill_seconds,
                        prompt_text=_echo(model, prompt) if spec.echo else "",
                        prompt_logprobs=_prompt_logprobs(model.tokenizer, event),
                    )
                else:
                    if isinstance(event, ChoiceFinished) and event.stop_string is not None:
                        # The engine knows nothing of stop strings and would go on.
                        run.end(event.choice)
                    yield event
            if answer.complete:
                break
    model.touch()
    yield answer.usage()


async def _prepare(
    model: LoadedModel, spec: GenerationSpec, field: str
) -> tuple[engine.EngineRequest, EncodedPrompt]:
    size = model.vocabulary_size
    sampling = resolve_sampling(spec.sampling, model.defaults, size, f"{field}.sampling")
    check_stop(spec.stop, size, f"{field}.stop")
    most = min(MOST_CHOICES, model.port.options.max_batch)
    if not 0 <= spec.choice_count <= most:
        raise out_of_range(f"{field}.choice_count", f"1 to {most}", spec.choice_count)
    logprobs = spec.logprobs
    if logprobs is not None and not 0 <= logprobs.top_count <= MOST_TOP_LOGPROBS:
        raise out_of_range(
            f"{field}.logprobs.top_count", f"0 to {MOST_TOP_LOGPROBS}", logprobs.top_count
        )
    try:
        prompt = await encode_prompt(model, spec.prompt, f"{field}.", model.context_length)
    except PromptTooLongError as error:
        raise _prompt_too_long(model, error.least, "at least ") from None
    stop = spec.stop
    ends = set(stop.stop_token_ids)
    # A grammar ends with an end token.
    if not stop.ignore_eos or spec.grammar is not None:
        ends |= model.tokenizer.end_tokens
    request = engine.EngineRequest(
        prompt=prompt.token_ids,
        max_tokens=_max_tokens(model, spec, len(prompt.token_ids), field),
        sampling=sampling,
        min_tokens=stop.min_tokens or 0,
        choices=spec.choice_count or 1,
        stop_tokens=sorted(ends),
        top_logprobs=-1 if logprobs is None else logprobs.top_count,
        prompt_logprobs=logprobs is not None and logprobs.prompt,
        guided=spec.grammar is not None,
    )
    return request, prompt


async def _compile_guides(
    model: LoadedModel, spec: GenerationSpec, choices: int, field: str
) -> list[Guide]:
    if spec.grammar is None:
        return []
    field = f"{field}.grammar"
    if not model.tokenizer.end_tokens:
        raise unsupported(field, "cannot be honoured: this model has no end token", model.model_id)
    return await asyncio.to_thread(model.grammars.compile, spec.grammar, choices, field)


async def encode_prompt(
    model: LoadedModel, prompt: Prompt, prefix: str, most_tokens: int | None = None
) -> EncodedPrompt:
    """Tokenizes a prompt, beside the event loop if it is long; the rest as `PromptEncoder.encode`.

    Raises:
        ServiceError, PromptTooLongError: As `PromptEncoder.encode`.
    """
    if _characters(prompt) > _LONG_PROMPT:
        return await asyncio.to_thread(model.prompts.encode, prompt, prefix, most_tokens)
    return model.prompts.encode(prompt, prefix, most_tokens)


def _max_tokens(model: LoadedModel, spec: GenerationSpec, prompt_tokens: int, field: str) -> int:
    context = model.context_length
    room = context - prompt_tokens
    wanted = spec.stop.max_tokens
    if room < 1:
        raise _prompt_too_long(model, prompt_tokens)
    if wanted is None:
        least = spec.stop.min_tokens or 0
        if least > room:
            raise out_of_range(
                f"{field}.stop.min_tokens", f"0 to {room}, what the prompt leaves", least
            )
        return room
    if wanted > room:
        raise ServiceError(
            Reason.CONTEXT_LENGTH_EXCEEDED,
            f"the prompt has {prompt_tokens} tokens and max_tokens is {wanted}, but the context "
            f"window of {model.model_id} holds {context}; shorten the prompt, or lower max_tokens "
            f"to {room}",
            field=f"{field}.stop.max_tokens",
            metadata={
                "model": model.model_id,
                "prompt_tokens": str(prompt_tokens),
                "context_length": str(context),
                "max_tokens": str(wanted),
            },
        )
    return wanted


def _prompt_too_long(model: LoadedModel, tokens: int, qualifier: str = "") -> ServiceError:
    return ServiceError(
        Reason.CONTEXT_LENGTH_EXCEEDED,
        f"the prompt has {qualifier}{tokens} tokens, but the context window of {model.model_id} "
        f"holds {model.context_length} with the answer; shorten the prompt",
        field="spec.prompt",
        metadata={
            "model": model.model_id,
            "prompt_tokens": str(tokens),
            "context_length": str(model.context_length),
        },
    )


@dataclass(slots=True)
class _Choice:
    text: AnswerText[engine.Token]
    finished: bool = False


class _Answer:
    """Turns the engine's events into those of the call."""

    def __init__(
        self, tokenizer: Tokenizer, spec: GenerationSpec, request: engine.EngineRequest
    ) -> None:
        self._tokenizer = tokenizer
        self._with_logprobs = spec.logprobs is not None
        self._stop_token_ids = frozenset(spec.stop.stop_token_ids)
        self._choices = [
            _Choice(AnswerText(tokenizer, spec.stop.stop_strings, request.min_tokens))
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
        self._choices[index].finished = True
        self._open -= 1
        yield from self._delta(index, ready.pop(index, Piece()))
        yield ChoiceFinished(index, reason, stop_string, stop_token_id)

    def _delta(self, index: int, piece: Piece[engine.Token]) -> Iterator[Delta]:
        if not piece.text and not piece.tokens:
            return
        logprobs = (
            [_logprob(self._tokenizer, token) for token in piece.tokens]
            if self._with_logprobs
            else []
        )
        yield Delta(index, piece.text, [token.token for token in piece.tokens], logprobs)


def _append(ready: dict[int, Piece[engine.Token]], index: int, piece: Piece[engine.Token]) -> None:
    whole = ready.setdefault(index, Piece())
    whole.text += piece.text
    whole.tokens += piece.tokens


def _logprob(tokenizer: Tokenizer, token: engine.Token) -> TokenLogprob:
    return TokenLogprob(
        token_id=token.token,
        text=tokenizer.token_text(token.token),
        raw_bytes=tokenizer.token_bytes(token.token),
        logprob=token.logprob,
        top=[
            TokenAlternative(id, tokenizer.token_text(id), tokenizer.token_bytes(id), logprob)
            for id, logprob in token.top_logprobs
        ],
    )


def _prompt_logprobs(tokenizer: Tokenizer, started: engine.Started) -> list[TokenLogprob]:
    return [
        TokenLogprob(
            token_id=id,
            text=tokenizer.token_text(id),
            raw_bytes=tokenizer.token_bytes(id),
            # Nothing comes before the first token that could predict it.
            logprob=logprob if position else None,
        )
        for position, (id, logprob) in enumerate(started.prompt_logprobs)
    ]


def _echo(model: LoadedModel, prompt: EncodedPrompt) -> str:
    return model.tokenizer.decode(prompt.token_ids) if prompt.text is None else prompt.text


def _characters(prompt: Prompt) -> int:
    match prompt:
        case ChatPrompt():
            return sum(len(message.content) for message in prompt.messages)
        case TextPrompt():
            return len(prompt.text)
        case _:
            return 0
