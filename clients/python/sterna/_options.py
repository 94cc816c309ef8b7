"""What a generation call may be asked for, and the specification made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypedDict

from sterna._convert import enum_name
from sterna.types import Message, RoleName, Tool, ToolCall
from sterna.v1 import chat_pb2, generation_pb2

Messages = str | Sequence[Message | Mapping[str, Any]]
Prompt = str | Sequence[int]
Tools = Sequence[Tool | Mapping[str, Any]]


class GenerationOptions(TypedDict, total=False):
    """Options of every generation call. An absent one, and None, mean the server's default.

    Limits and defaults are those of `GenerationSpec` in the protocol.
    """

    model: str | None
    adapter: str | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    seed: int | None
    logit_bias: Mapping[int, float] | None
    max_tokens: int | None
    min_tokens: int | None
    stop: str | Sequence[str] | None
    stop_token_ids: Sequence[int] | None
    ignore_eos: bool | None
    choice_count: int | None
    # Log-probabilities of the chosen tokens, and of this many alternatives.
    top_logprobs: int | None
    prompt_logprobs: bool | None
    echo: bool | None
    # At most one of these five constrains the text.
    json_schema: Mapping[str, Any] | str | None
    json_object: bool | None
    regex: str | None
    choice: Sequence[str] | None
    lark: str | None
    keep_alive: timedelta | float | None
    # Seconds; the client's `generation_timeout` unless given.
    timeout: float | None


class ChatOptions(GenerationOptions, total=False):
    """Options of a chat call."""

    session_id: str | None
    # Keep the question and the answer, under the answer's `response_id`.
    store: bool | None
    # The kept answer that this conversation follows.
    previous_response_id: str | None
    # A system message before everything, for this call only.
    instructions: str | None
    tools: Tools | None
    # "auto", "none", "required", or the name of a tool.
    tool_choice: str | None
    parallel_tool_calls: bool | None
    template_arguments: Mapping[str, Any] | None
    continue_final_message: bool | None
    harness: Literal["default", "search"] | None
    search_provider: Literal["ddgs", "brave"] | None


_SAMPLING = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "seed",
)
_STOP = ("max_tokens", "min_tokens", "ignore_eos")
_GRAMMARS = ("json_schema", "json_object", "regex", "choice", "lark")
_MODES = {
    "auto": chat_pb2.ToolChoice.MODE_AUTO,
    "none": chat_pb2.ToolChoice.MODE_NONE,
    "required": chat_pb2.ToolChoice.MODE_REQUIRED,
}


def prompt_spec(prompt: Prompt, options: Mapping[str, Any]) -> generation_pb2.GenerationSpec:
    """The specification for raw text or token ids."""
    options = _given(options)
    spec = _spec(options, GenerationOptions.__optional_keys__)
    if isinstance(prompt, str):
        spec.text.text = prompt
    else:
        spec.tokens.token_ids.extend(prompt)
    return spec


def chat_spec(messages: Messages, options: Mapping[str, Any]) -> generation_pb2.GenerationSpec:
    """The specification for a conversation; a string is one message of the user."""
    options = _given(options)
    spec = _spec(options, ChatOptions.__optional_keys__)
    spec.session_id = options.get("session_id", "")
    for name in ("store", "previous_response_id", "instructions"):
        if name in options:
            setattr(spec.storage, name, options[name])
    spec.chat.CopyFrom(chat_prompt(messages, options.get("tools", ())))
    chat = spec.chat
    if "tool_choice" in options:
        chat.tool_choice.CopyFrom(_tool_choice(options["tool_choice"]))
    if "parallel_tool_calls" in options:
        chat.parallel_tool_calls = options["parallel_tool_calls"]
    if "template_arguments" in options:
        chat.template_arguments.update(options["template_arguments"])
    chat.continue_final_message = options.get("continue_final_message", False)
    if "harness" in options:
        spec.harness.harness = enum_value(generation_pb2.Harness, options["harness"], "harness")
    if "search_provider" in options:
        spec.harness.search_provider = enum_value(
            generation_pb2.SearchProvider, options["search_provider"], "search_provider"
        )
    return spec


def chat_prompt(messages: Messages, tools: Tools = ()) -> chat_pb2.ChatPrompt:
    """The conversation alone."""
    if isinstance(messages, str):
        messages = [Message("user", messages)]
    return chat_pb2.ChatPrompt(
        messages=[_message(message) for message in messages], tools=[_tool(tool) for tool in tools]
    )


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _spec(options: Mapping[str, Any], known: frozenset[str]) -> generation_pb2.GenerationSpec:
    unknown = options.keys() - known
    if unknown:
        raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
    spec = generation_pb2.GenerationSpec(
        model_id=options.get("model", ""),
        adapter_id=options.get("adapter", ""),
        choice_count=options.get("choice_count", 0),
        echo=options.get("echo", False),
    )
    sampling = {name: options[name] for name in _SAMPLING if name in options}
    if sampling or "logit_bias" in options:
        spec.sampling.CopyFrom(
            generation_pb2.SamplingParams(**sampling, logit_bias=options.get("logit_bias"))
        )
    stop = options.get("stop", ())
    spec.stop.CopyFrom(
        generation_pb2.StopCriteria(
            **{name: options[name] for name in _STOP if name in options},
            stop_strings=[stop] if isinstance(stop, str) else stop,
            stop_token_ids=options.get("stop_token_ids", ()),
        )
    )
    if "top_logprobs" in options or options.get("prompt_logprobs"):
        spec.logprobs.top_count = options.get("top_logprobs", 0)
        spec.logprobs.prompt = options.get("prompt_logprobs", False)
    if "keep_alive" in options:
        keep_alive = options["keep_alive"]
        if not isinstance(keep_alive, timedelta):
            keep_alive = timedelta(seconds=keep_alive)
        spec.keep_alive.FromTimedelta(keep_alive)
    _set_grammar(spec, options)
    return spec


def _set_grammar(spec: generation_pb2.GenerationSpec, options: Mapping[str, Any]) -> None:
    # An empty schema is one, too; json_object=False is not.
    given = [name for name in _GRAMMARS if options.get(name, False) is not False]
    if len(given) > 1:
        raise ValueError(f"only one of these can constrain the text: {', '.join(given)}")
    for name in given:
        value = options[name]
        if name == "json_object":
            spec.grammar.json_object.SetInParent()
        elif name == "choice":
            spec.grammar.choice.texts.extend(value)
        elif name == "json_schema":
            spec.grammar.json_schema = value if isinstance(value, str) else json.dumps(value)
        else:
            setattr(spec.grammar, name, value)


def _message(message: Message | Mapping[str, Any]) -> chat_pb2.ChatMessage:
    if isinstance(message, Message):
        role: RoleName = message.role
        content: Any = message.content
        name, calls, call_id = message.name, message.tool_calls, message.tool_call_id
    else:
        if "role" not in message:
            raise ValueError(f"a message needs a role: {dict(message)}")
        role, content = message["role"], message.get("content") or ""
        name, call_id = message.get("name", ""), message.get("tool_call_id", "")
        calls = tuple(_tool_call(call) for call in message.get("tool_calls") or ())
    texts = [content] if isinstance(content, str) else [part["text"] for part in content]
    return chat_pb2.ChatMessage(
        role=enum_value(chat_pb2.Role, role, "role"),
        content=[chat_pb2.ContentPart(text=text) for text in texts],
        name=name,
        tool_calls=[
            chat_pb2.ToolCall(id=call.id, name=call.name, arguments=call.arguments)
            for call in calls
        ],
        tool_call_id=call_id,
    )


def _tool_call(call: ToolCall | Mapping[str, Any]) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    function = call.get("function", call)
    return ToolCall(call["id"], function["name"], function["arguments"])


def _tool(tool: Tool | Mapping[str, Any]) -> chat_pb2.Tool:
    if not isinstance(tool, Tool):
        function = tool.get("function", tool)
        tool = Tool(
            function["name"],
            function.get("description", ""),
            function.get("parameters", {}),
            function.get("strict", False),
        )
    return chat_pb2.Tool(
        name=tool.name,
        description=tool.description,
        parameters_schema=json.dumps(tool.parameters) if tool.parameters else "",
        strict=tool.strict,
    )


def _tool_choice(choice: str) -> chat_pb2.ToolChoice:
    if choice in _MODES:
        return chat_pb2.ToolChoice(mode=_MODES[choice])
    return chat_pb2.ToolChoice(mode=chat_pb2.ToolChoice.MODE_NAMED, tool_name=choice)


def enum_value(kind: Any, value: str | None, field: str) -> Any:
    """The number of a value given by its short name, such as "user" in Role; None: unspecified."""
    if value is None:
        return 0
    name = enum_name(kind.DESCRIPTOR, value)
    numbers: dict[str, int] = dict(kind.items())
    if name not in numbers or numbers[name] == 0:
        prefix = len(enum_name(kind.DESCRIPTOR, ""))
        known = ", ".join(key[prefix:].lower() for key, number in numbers.items() if number)
        raise ValueError(f"{field} must be one of {known}, not {value!r}")
    return numbers[name]
