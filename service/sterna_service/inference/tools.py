"""Tools on offer: what is valid, and the grammar by which any model can call them.

A call reads

    <tool_call>
    {"name": "NAME", "arguments": {…}}
    </tool_call>

as in the templates of most models that were trained to call tools. Decoding is constrained: a call
is always one of a tool on offer, and its arguments match the tool's schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from sterna_service.errors import Reason, ServiceError, invalid, out_of_range
from sterna_service.inference import json_text
from sterna_service.inference.grammar import (
    JSON_LAYOUT,
    AnyJsonObject,
    JsonSchema,
    Lark,
    OutputGrammar,
)
from sterna_service.inference.json_bounds import bounded
from sterna_service.inference.spec import ChatPrompt, Prompt, Tool, ToolMode

MOST_TOOLS = 128
MOST_CALLS = 16
"""Calls in one answer."""
LARGEST_SCHEMAS_BYTES = 128 * 1024

# What a call should have at least, before there may be several.
_CALL_TOKENS = 256

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_ANY_OBJECT: dict[str, Any] = {"type": "object"}


def offers_tools(prompt: Prompt) -> bool:
    """Whether the answer may call tools."""
    return (
        isinstance(prompt, ChatPrompt)
        and bool(prompt.tools)
        and prompt.tool_mode is not ToolMode.NONE
    )


def forces_call(prompt: ChatPrompt) -> bool:
    """Whether the answer must call a tool."""
    return prompt.tool_mode in (ToolMode.REQUIRED, ToolMode.NAMED)


def check_tools(prompt: ChatPrompt, field: str) -> None:
    """Checks the tools of a prompt; `field` is where it stands in the request.

    Raises:
        ServiceError: Something about them is not valid.
    """
    tools = prompt.tools
    if len(tools) > MOST_TOOLS:
        raise out_of_range(f"{field}.tools", f"at most {MOST_TOOLS} tools", len(tools))
    names: set[str] = set()
    size = 0
    for index, tool in enumerate(tools):
        where = f"{field}.tools[{index}]"
        if not _NAME.fullmatch(tool.name):
            raise invalid(
                f"{where}.name", "must be 1 to 64 characters of a-z, A-Z, 0-9, '_' and '-'"
            )
        if tool.name in names:
            raise invalid(f"{where}.name", f"must be unique, but there are two {tool.name!r}")
        names.add(tool.name)
        schema_of(tool, where)
        size += len(tool.parameters_schema.encode())
    if size > LARGEST_SCHEMAS_BYTES:
        limit = f"at most {LARGEST_SCHEMAS_BYTES} bytes of schemas together"
        raise out_of_range(f"{field}.tools", limit, size)
    if forces_call(prompt) and not tools:
        raise invalid(f"{field}.tool_choice", "asks for a tool call, but there are no tools")
    name_field = f"{field}.tool_choice.tool_name"
    if prompt.tool_mode is ToolMode.NAMED:
        if prompt.tool_name not in names:
            raise invalid(name_field, f"must be one of the tools: {', '.join(sorted(names))}")
    elif prompt.tool_name:
        raise invalid(name_field, "is only valid with MODE_NAMED")


def schema_of(tool: Tool, field: str) -> dict[str, Any]:
    """The schema of a tool's arguments.

    Raises:
        ServiceError: It is not the JSON schema of an object.
    """
    field = f"{field}.parameters_schema"
    if not tool.parameters_schema:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    try:
        schema = json_text.parse(tool.parameters_schema)
    except ValueError as error:
        raise _unusable(field, f"not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise _unusable(field, "a schema is an object")
    if schema.get("type", "object") != "object":
        raise _unusable(field, "the arguments are an object, so its type must be 'object'")
    return schema


def tool_grammar(
    prompt: ChatPrompt,
    answer: OutputGrammar | None,
    problem: Callable[[str], str | None],
    room: int,
    field: str,
) -> Lark:
    """The grammar of an answer of at most `room` tokens that may or must call tools. Blocks.

    `answer` constrains an answer without calls. `problem` says what is wrong with a Lark grammar.
    Calls that must come also fit into the room, unless that is very small.

    Raises:
        ServiceError: A schema cannot be compiled, or `answer` cannot be combined with tools.
    """
    if answer is not None and forces_call(prompt):
        raise invalid(f"{field}.grammar", "cannot hold for an answer that must call a tool")
    named = prompt.tool_mode is ToolMode.NAMED
    most = MOST_CALLS if prompt.parallel_tool_calls and not named else 1
    space = None
    if forces_call(prompt):
        most = max(1, min(most, room // _CALL_TOKENS))
        space = room // most
    rules = [
        _call_rule(index, tool, problem, space, f"{field}.chat.tools[{index}]")
        for index, tool in enumerate(prompt.tools)
        if not named or tool.name == prompt.tool_name
    ]
    names = " | ".join(name for name, _ in rules)
    more = f' ("\\n<tool_call>" call){{0,{most - 1}}}' if most > 1 else ""
    lines = [f"call: {names}", *(text for _, text in rules)]
    if forces_call(prompt):
        lines.insert(0, f'start: "<tool_call>" call{more}')
    elif answer is not None:
        lines.insert(0, f'start: answer | "<tool_call>" call{more}')
        lines.append(f"answer: {_answer_rule(answer, field)}")
    else:
        # Either there is no call at all, or everything up to the first one is free.
        lines.insert(0, f"start: TEXT | until_call call{more}")
        lines.append("TEXT: /(.|\\n)*/ & ~(/(.|\\n)*<tool_call>(.|\\n)*/)")
        lines.append("until_call[lazy]: /(.|\\n)*<tool_call>/")
    return Lark("\n".join(lines))


def _call_rule(
    index: int, tool: Tool, problem: Callable[[str], str | None], room: int | None, field: str
) -> tuple[str, str]:
    """The name and the text of the rules for a call of one tool, within `room` tokens if given."""
    schema = schema_of(tool, field)
    # Models invent arguments where they may.
    schema.setdefault("additionalProperties", False)
    lenient = False
    trouble = problem(f"start: {_json(schema)}")
    if trouble is not None:
        if tool.strict:
            raise _unusable(f"{field}.parameters_schema", trouble)
        # Without the keywords that are not known, or, failing that, without any.
        lenient = True
        if problem(f"start: {_json(schema, lenient)}") is not None:
            schema = _ANY_OBJECT
    if room is not None:
        frame = len(call_text(tool.name, "")) + len("<tool_call>\n")
        tighter = bounded(schema, room - frame)
        if problem(f"start: {_json(tighter, lenient)}") is None:
            schema = tighter
    name = f"call_{index}"
    return name, (
        f'{name}: "\\n{{\\"name\\": \\"{tool.name}\\", \\"arguments\\": " arguments_{index} '
        f'"}}\\n</tool_call>"\n'
        f"arguments_{index}: {_json(schema, lenient)}"
    )


def _answer_rule(answer: OutputGrammar, field: str) -> str:
    match answer:
        case JsonSchema(schema):
            try:
                parsed = json_text.parse(schema)
            except ValueError as error:
                raise _unusable(f"{field}.grammar.json_schema", f"not JSON: {error}") from None
            if not isinstance(parsed, dict):
                raise _unusable(f"{field}.grammar.json_schema", "a schema is an object")
            return _json(parsed)
        case AnyJsonObject():
            return _json(_ANY_OBJECT)
        case _:
            raise invalid(
                f"{field}.grammar",
                "cannot be combined with tools unless it is json_schema or json_object; set "
                "tool_choice to none",
            )


def _json(schema: dict[str, Any], lenient: bool = False) -> str:
    options = {**JSON_LAYOUT, "lenient": lenient}
    return f"%json {json.dumps({**schema, 'x-guidance': options}, ensure_ascii=False)}"


def call_text(name: str, arguments: str) -> str:
    """A call as the model writes it."""
    return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n</tool_call>'


def tool_documents(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools as templates know them. They have been checked."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": schema_of(tool, "tool"),
            },
        }
        for tool in tools
    ]


def _unusable(field: str, problem: str) -> ServiceError:
    line = " ".join(problem.split())[:500]
    return ServiceError(
        Reason.GRAMMAR_INVALID,
        f"{field} cannot be used: {line}",
        field=field,
        metadata={"field": field},
    )
