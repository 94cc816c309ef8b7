"""What stands between a chat and the model: nothing, or a search of the web."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sterna_service.errors import ServiceError, invalid, out_of_range
from sterna_service.inference.events import (
    Accepted,
    ChoiceFinished,
    Delta,
    FinishReason,
    GenerationEvent,
    SearchCompleted,
    SearchStarted,
    SearchUnavailable,
    Started,
    Usage,
)
from sterna_service.inference.generation import generate
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.spec import (
    ChatPrompt,
    GenerationSpec,
    Harness,
    HarnessChoice,
    Message,
    Tool,
    ToolCall,
)
from sterna_service.search.providers import SearchFailedError

if TYPE_CHECKING:
    # Needs the extra packages of the search.
    from sterna_service.search.research import Finding, Researcher

# The words that search-tuned models were trained with; TRILLIM's.
SEARCH_SYSTEM = (
    "You have access to a search tool. To search the web, write <search>your query</search> and "
    "you will receive results. Use search for questions about current events, specific people, "
    "places, or facts you are unsure about. Answer directly for math, reasoning, coding, or "
    "general knowledge you are confident about."
)
_OPEN, _CLOSE = "<search>", "</search>"
_LONGEST_QUERY = 300

_MOST_SEARCHES = 2
# Of the context window, findings take at most this share, and never more than so many tokens.
_FINDINGS_SHARE = 0.4
_MOST_FINDINGS_TOKENS = 1500

_TOOL = Tool(
    name="web_search",
    description="Searches the web for current events, people, places, and facts you are unsure of.",
    parameters_schema=json.dumps(
        {
            "type": "object",
            "properties": {"query": {"type": "string", "minLength": 1, "maxLength": 200}},
            "required": ["query"],
            "additionalProperties": False,
        }
    ),
)


class Harnesses:
    """Answers calls through the harness that each asks for. Keeps one researcher per provider."""

    def __init__(self, make_researcher: Callable[[str], Researcher]) -> None:
        """`make_researcher` takes a provider's name and may refuse with a `ServiceError`."""
        self._make = make_researcher
        self._made: dict[str, Researcher] = {}

    def researcher(self, provider: str) -> Researcher:
        """The researcher over a provider.

        Raises:
            ServiceError: The provider is not configured.
        """
        if provider not in self._made:
            self._made[provider] = self._make(provider)
        return self._made[provider]

    def generate(
        self, model: LoadedModel, spec: GenerationSpec, usual: HarnessChoice
    ) -> AsyncGenerator[GenerationEvent]:
        """As `generate`, through the harness of the call or, if it names none, the `usual` one.

        The usual harness steps aside for calls that it cannot serve.
        """
        if spec.harness is Harness.SEARCH or (
            spec.harness is None and usual.harness is Harness.SEARCH and _can_search(spec)
        ):
            provider = spec.search_provider or usual.search_provider
            return generate_with_search(model, spec, self.researcher(provider))
        return generate(model, spec)


async def generate_with_search(
    model: LoadedModel, spec: GenerationSpec, researcher: Researcher
) -> AsyncGenerator[GenerationEvent]:
    """Answers as `generate`, but the model may search before it answers, at most twice.

    A search-tuned model asks with `<search>query</search>`, any other one by calling a tool. When
    searching fails, the model answers from its own knowledge.

    Raises:
        ServiceError: As `generate`; or the call asks for what a search rules out.
    """
    _check(spec)
    rounds = _TaggedRounds(spec) if model.search_tuned else _ToolRounds(spec)
    total = Usage(0, 0, 0, 0.0, 0.0, 0.0)
    first = True
    for number in range(_MOST_SEARCHES + 1):
        turn = rounds.spec(may_search=number < _MOST_SEARCHES)
        async with contextlib.aclosing(generate(model, turn)) as events:
            async for event in events:
                match event:
                    case Accepted() | Started():
                        if first:
                            yield event
                    case Usage():
                        total = _sum(total, event)
                    case _:
                        for shown in rounds.take(event):
                            yield shown
        asked = rounds.query()
        first = False
        if not asked:
            break
        yield SearchStarted(asked)
        try:
            findings = await researcher.research(
                asked, _budget(model), lambda text: len(model.tokenizer.encode_plain(text))
            )
        except SearchFailedError as error:
            findings = []
            yield SearchUnavailable(str(error))
        else:
            yield SearchCompleted(len(findings))
        rounds.add(asked, findings)
    yield total


def _can_search(spec: GenerationSpec) -> bool:
    try:
        _check(spec)
    except ServiceError:
        return False
    return True


def _check(spec: GenerationSpec) -> None:
    prompt = spec.prompt
    if not isinstance(prompt, ChatPrompt):
        raise invalid("spec.harness", "needs a chat prompt")
    if prompt.tools:
        raise invalid("spec.chat.tools", "must be empty with the search harness")
    if spec.grammar is not None:
        raise invalid("spec.grammar", "must be absent with the search harness")
    if spec.echo:
        raise invalid("spec.echo", "must be false with the search harness")
    if prompt.continue_final_message:
        raise invalid("spec.chat.continue_final_message", "must be false with the search harness")
    if spec.choice_count > 1:
        raise out_of_range("spec.choice_count", "1 with the search harness", spec.choice_count)


def _budget(model: LoadedModel) -> int:
    return min(_MOST_FINDINGS_TOKENS, int(model.context_length * _FINDINGS_SHARE))


def _listed(findings: list[Finding]) -> str:
    if not findings:
        return "Search results: none. Answer from what you know."
    found = " ".join(f"[{number}] {each.text}" for number, each in enumerate(findings, 1))
    return f"Search results: {found}"


@dataclass(slots=True)
class _Held:
    """Text that may turn out to be a request to search, and is not shown before it is clear."""

    text: str = ""
    deltas: list[Delta] | None = None


class _TaggedRounds:
    """Turns of a model that asks with tags."""

    def __init__(self, spec: GenerationSpec) -> None:
        self._spec = spec
        assert isinstance(spec.prompt, ChatPrompt)
        messages = list(spec.prompt.messages)
        if messages[:1] and messages[0].role == "system":
            messages[0] = replace(messages[0], content=f"{SEARCH_SYSTEM}\n\n{messages[0].content}")
        else:
            messages.insert(0, Message("system", SEARCH_SYSTEM))
        self._messages = messages
        self._held = _Held()
        self._may_search = True

    def spec(self, *, may_search: bool) -> GenerationSpec:
        """The next turn."""
        self._held = _Held(deltas=[])
        self._may_search = may_search
        assert isinstance(self._spec.prompt, ChatPrompt)
        prompt = replace(self._spec.prompt, messages=self._messages)
        stop = self._spec.stop
        if may_search:
            stop = replace(stop, stop_strings=[*stop.stop_strings, _CLOSE])
        return replace(self._spec, prompt=prompt, stop=stop)

    def take(self, event: GenerationEvent) -> list[GenerationEvent]:
        """What of an event the caller sees now."""
        held = self._held
        if held.deltas is None or not self._may_search:
            return [event]
        if isinstance(event, Delta):
            held.deltas.append(event)
            held.text += event.text
            start = held.text.lstrip()
            if _OPEN.startswith(start[: len(_OPEN)]) or start.startswith(_OPEN):
                return []
        elif isinstance(event, ChoiceFinished) and self.query():
            # What was held is a request, and no answer.
            return []
        shown: list[GenerationEvent] = [*held.deltas]
        held.deltas = None
        return shown if isinstance(event, Delta) else [*shown, event]

    def query(self) -> str:
        """What is to be searched for; empty: nothing."""
        if self._held.deltas is None or not self._may_search:
            return ""
        # The closing tag stopped the turn and is not part of its text.
        _, found, query = self._held.text.partition(_OPEN)
        return " ".join(query.split())[:_LONGEST_QUERY] if found else ""

    def add(self, query: str, findings: list[Finding]) -> None:
        """Goes on after a search."""
        self._messages = [
            *self._messages,
            Message("assistant", f"{_OPEN}{query}{_CLOSE}"),
            Message("system", _listed(findings)),
        ]


class _ToolRounds:
    """Turns of a model that calls a tool."""

    def __init__(self, spec: GenerationSpec) -> None:
        self._spec = spec
        assert isinstance(spec.prompt, ChatPrompt)
        self._messages = list(spec.prompt.messages)
        self._call_id = ""
        self._arguments = ""

    def spec(self, *, may_search: bool) -> GenerationSpec:
        """The next turn."""
        self._call_id = self._arguments = ""
        assert isinstance(self._spec.prompt, ChatPrompt)
        prompt = replace(
            self._spec.prompt,
            messages=self._messages,
            tools=[_TOOL] if may_search else [],
            parallel_tool_calls=False,
        )
        return replace(self._spec, prompt=prompt)

    def take(self, event: GenerationEvent) -> list[GenerationEvent]:
        """What of an event the caller sees now."""
        if isinstance(event, Delta) and event.tool_calls:
            for piece in event.tool_calls:
                self._call_id = self._call_id or piece.id
                self._arguments += piece.arguments
            return []
        if isinstance(event, ChoiceFinished) and event.reason is FinishReason.TOOL_CALLS:
            return []
        return [event]

    def query(self) -> str:
        """What is to be searched for; empty: nothing."""
        try:
            return str(json.loads(self._arguments)["query"])[:_LONGEST_QUERY]
        except (ValueError, KeyError, TypeError):
            return ""

    def add(self, query: str, findings: list[Finding]) -> None:
        """Goes on after a search."""
        call = ToolCall(self._call_id, _TOOL.name, self._arguments)
        self._messages = [
            *self._messages,
            Message("assistant", "", tool_calls=[call]),
            Message("tool", _listed(findings), name=_TOOL.name, tool_call_id=self._call_id),
        ]


def _sum(total: Usage, more: Usage) -> Usage:
    return Usage(
        total.prompt_tokens + more.prompt_tokens,
        total.completion_tokens + more.completion_tokens,
        total.cached_tokens + more.cached_tokens,
        total.queue_seconds + more.queue_seconds,
        total.prefill_seconds + more.prefill_seconds,
        total.decode_seconds + more.decode_seconds,
    )
