"""Answers one call for text: checks it, runs it, and reports what happens."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sterna_service.engine import types as engine
from sterna_service.errors import Reason, ServiceError, out_of_range, unsupported
from sterna_service.inference.answer import Answer, token_logprob
from sterna_service.inference.events import (
    Accepted,
    ChoiceFinished,
    GenerationEvent,
    Started,
    TokenLogprob,
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
from sterna_service.inference.tools import offers_tools, tool_grammar
from sterna_service.telemetry.generation_trace import GenerationTrace

# What JSON takes at least on average, by the tokenizers of small models.
_CHARACTERS_PER_TOKEN = 2

# Prompts with more characters are tokenized beside the event loop, which takes milliseconds.
_LONG_PROMPT = 16 * 1024
# What a message, a tool or a number costs besides its text, in characters.
_PART = 16


async def generate(model: LoadedModel, spec: GenerationSpec) -> AsyncGenerator[GenerationEvent]:
    """Answers a call and yields its events: `Accepted` first, `Usage` last.

    Iterate it inside `contextlib.aclosing`: closing it frees what the call holds in the engine.

    Raises:
        ServiceError: The call is not valid, or cannot be served now.
    """
    field = "spec"
    request, prompt = await _prepare(model, spec, field)
    guides = await _compile_guides(model, spec, request, field)
    response_id = uuid.uuid4().hex
    create_time = datetime.now(UTC)
    answer = Answer(model.tokenizer, spec, request)
    model.touch()
    operation = "chat" if isinstance(spec.prompt, ChatPrompt) else "text_completion"
    trace = GenerationTrace(operation, model.model_id, response_id, request)
    async with trace, model.port.run(request) as run:
        steering = Steering(run, guides, jump_ahead=model.port.options.speculation != "off")
        yield Accepted(response_id, create_time, model.model_id)
        async for batch in run:
            steering.follow(batch)
            for event in answer.take(batch):
                if isinstance(event, engine.Started):
                    answer.start(event)
                    trace.started(event)
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
                        adapter_id="" if spec.adapter is None else spec.adapter.adapter_id,
                    )
                else:
                    if isinstance(event, ChoiceFinished) and event.stop_string is not None:
                        # The engine knows nothing of stop strings and would go on.
                        run.end(event.choice)
                    yield event
            if answer.complete:
                break
        usage = answer.usage()
        trace.finished(usage.completion_tokens)
    model.touch()
    yield usage


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
    ends = {*stop.stop_token_ids, *(() if stop.ignore_eos else prompt.end_tokens)}
    # A grammar ends with an end token.
    guided = spec.grammar is not None or offers_tools(spec.prompt)
    if not stop.ignore_eos or guided:
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
        guided=guided,
        adapter=spec.adapter,
    )
    return request, prompt


async def _compile_guides(
    model: LoadedModel, spec: GenerationSpec, request: engine.EngineRequest, field: str
) -> list[Guide]:
    prompt = spec.prompt
    tools = isinstance(prompt, ChatPrompt) and offers_tools(prompt)
    if spec.grammar is None and not tools:
        return []
    grammar_field = f"{field}.chat.tools" if tools else f"{field}.grammar"
    if not model.tokenizer.end_tokens:
        problem = "cannot be honoured: this model has no end token"
        raise unsupported(grammar_field, problem, model.model_id)

    def compile_all() -> list[Guide]:
        grammar = spec.grammar
        if isinstance(prompt, ChatPrompt) and tools:
            grammar = tool_grammar(
                prompt, grammar, model.grammars.problem, request.max_tokens, field
            )
        assert grammar is not None
        room = None
        if spec.stop.max_tokens is None:
            # Whoever sets a limit expects to be cut off by it; the context window is no such wish.
            room = _CHARACTERS_PER_TOKEN * request.max_tokens
        return model.grammars.compile(grammar, request.choices, grammar_field, room=room)

    return await asyncio.to_thread(compile_all)


async def encode_prompt(
    model: LoadedModel, prompt: Prompt, prefix: str, most_tokens: int | None = None
) -> EncodedPrompt:
    """Tokenizes a prompt, beside the event loop if it is long; the rest as `PromptEncoder.encode`.

    Raises:
        ServiceError, PromptTooLongError: As `PromptEncoder.encode`.
    """
    if _is_long(prompt):
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
        # The operator's default is no demand: it never makes a request fail.
        usual = model.defaults.max_tokens or room
        return min(max(usual, least), room)
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


def _prompt_logprobs(tokenizer: Tokenizer, started: engine.Started) -> list[TokenLogprob]:
    tops = started.prompt_top_logprobs or [()] * len(started.prompt_logprobs)
    return [
        # Nothing comes before the first token that could predict it.
        token_logprob(tokenizer, id, logprob if position else None, tops[position])
        for position, (id, logprob) in enumerate(started.prompt_logprobs)
    ]


def _echo(model: LoadedModel, prompt: EncodedPrompt) -> str:
    return model.tokenizer.decode(prompt.token_ids) if prompt.text is None else prompt.text


def _is_long(prompt: Prompt) -> bool:
    """Whether a prompt has more than `_LONG_PROMPT` characters; it is not read any further."""
    total = 0
    for size in _sizes(prompt):
        total += size
        if total > _LONG_PROMPT:
            return True
    return False


def _sizes(prompt: Prompt) -> Iterator[int]:
    match prompt:
        case ChatPrompt():
            for message in prompt.messages:
                yield _PART + len(message.content)
                yield from (_PART + len(call.arguments) for call in message.tool_calls)
            for tool in prompt.tools:
                yield _PART + len(tool.description) + len(tool.parameters_schema)
            yield from _sizes_in(prompt.template_arguments)
        case TextPrompt():
            yield len(prompt.text) + len(prompt.suffix)
        case _:
            # Tokens are only checked, and not before they fit.
            yield 0


def _sizes_in(value: Any) -> Iterator[int]:
    if isinstance(value, str):
        yield len(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield len(key)
            yield from _sizes_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _sizes_in(item)
    else:
        yield _PART
