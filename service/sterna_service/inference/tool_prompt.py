"""Tells models about tools whose templates do not know of any: as plain messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sterna_service.inference.spec import ChatPrompt, Message, Tool
from sterna_service.inference.tools import call_text, offers_tools, tool_documents

_INSTRUCTIONS = """You can call these tools:
{tools}
To call one, write:
<tool_call>
{{"name": "TOOL", "arguments": {{…}}}}
</tool_call>
The result comes as a <tool_response>."""


def speaks_of_tools(prompt: ChatPrompt) -> bool:
    """Whether tools are on offer, or have been called before."""
    return offers_tools(prompt) or any(
        message.role == "tool" or message.tool_calls for message in prompt.messages
    )


def in_plain_messages(prompt: ChatPrompt) -> ChatPrompt:
    """The same conversation for a template that knows neither tools nor their results."""
    messages = list(_plain(prompt.messages))
    if offers_tools(prompt):
        instructions = _instructions(prompt.tools)
        if messages and messages[0].role in ("system", "developer"):
            first = messages[0]
            messages[0] = replace(first, content=f"{first.content}\n\n{instructions}")
        else:
            messages.insert(0, Message("system", instructions))
    return replace(prompt, messages=messages, tools=())


def _instructions(tools: Sequence[Tool]) -> str:
    lines = [
        json.dumps(document["function"], ensure_ascii=False) for document in tool_documents(tools)
    ]
    return _INSTRUCTIONS.format(tools="\n".join(lines))


def _plain(messages: Sequence[Message]) -> Iterator[Message]:
    results: list[str] = []
    for message in messages:
        if message.role == "tool":
            results.append(f"<tool_response>\n{message.content}\n</tool_response>")
            continue
        if results:
            yield Message("user", "\n".join(results))
            results = []
        if message.tool_calls:
            calls = [call_text(call.name, call.arguments) for call in message.tool_calls]
            content = "\n".join([message.content, *calls] if message.content else calls)
            yield replace(message, content=content, tool_calls=())
        else:
            yield message
    # Several results in a row are one turn.
    if results:
        yield Message("user", "\n".join(results))
