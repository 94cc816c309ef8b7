"""Chat requests and answers ↔ protocol. Pure functions."""

from __future__ import annotations

from typing import Any

from sterna.v1.chat_pb2 import ChatMessage, ContentPart, Role
from sterna.v1.generation_event_pb2 import Choice, TokenLogprob
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import GenerateResponse
from sterna_rest.chat.schemas import ChatRequest, Message, Part
from sterna_rest.chat.tool_transcode import (
    call_json,
    protocol_calls,
    protocol_choice,
    protocol_tools,
    tool_parameter,
)
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import missing
from sterna_rest.generation.grammar import (
    JsonSchemaFormat,
    extension_grammar,
    format_grammar,
    only_one_form,
)
from sterna_rest.generation.harness import HARNESSES, PROVIDERS
from sterna_rest.generation.model_name import answering_model
from sterna_rest.generation.transcode import (
    FINISH_REASONS,
    finite,
    generation_spec,
    parameter_of_field,
    usage_json,
)
from sterna_rest.generation.unsupported import unsupported

ROLES = {
    "system": Role.ROLE_SYSTEM,
    "developer": Role.ROLE_DEVELOPER,
    "user": Role.ROLE_USER,
    "assistant": Role.ROLE_ASSISTANT,
    "tool": Role.ROLE_TOOL,
}


def text_message(role: str, *texts: str) -> ChatMessage:
    """One turn that holds nothing but text."""
    return ChatMessage(role=ROLES[role], content=[ContentPart(text=text) for text in texts])


def chat_spec(body: ChatRequest) -> GenerationSpec:
    """The whole request. Raises `ApiError` for what only the fields together can tell."""
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(
            400,
            "`top_logprobs` needs `logprobs` to be true; set it, or leave `top_logprobs` out.",
            code="invalid_value",
            param="top_logprobs",
        )
    only_one_form(body.grammar, body.response_format, "response_format")
    spec = generation_spec(body)
    grammar = format_grammar(body.response_format) if body.response_format else None
    if body.grammar is not None:
        grammar = extension_grammar(body.grammar)
    if grammar is not None:
        spec.grammar.CopyFrom(grammar)
    if body.max_completion_tokens is not None:
        spec.stop.max_tokens = body.max_completion_tokens
    if body.logprobs:
        spec.logprobs.top_count = body.top_logprobs or 0
        spec.logprobs.SetInParent()
    for index, message in enumerate(body.messages):
        spec.chat.messages.append(chat_message(message, f"messages[{index}]"))
    spec.chat.tools.extend(protocol_tools(body.tools or ()))
    if body.tool_choice is not None:
        spec.chat.tool_choice.CopyFrom(protocol_choice(body.tool_choice))
    if body.parallel_tool_calls is not None:
        spec.chat.parallel_tool_calls = body.parallel_tool_calls
    if body.harness is not None:
        spec.harness.harness = HARNESSES[body.harness]
    elif body.web_search_options is not None:
        spec.harness.harness = HARNESSES["search"]
    if body.search_provider is not None:
        spec.harness.search_provider = PROVIDERS[body.search_provider]
    return spec


def chat_parameter(body: ChatRequest, field: str) -> str:
    """As `parameter_of_field`, in the spelling that this request used."""
    name = tool_parameter(parameter_of_field(field))
    if name == "prompt":
        return "messages"
    if name.startswith("grammar") and body.grammar is None:
        if isinstance(body.response_format, JsonSchemaFormat) and not forces_call(body):
            return "response_format.json_schema.schema"
        return "response_format"
    if name == "max_tokens" and body.max_completion_tokens is not None:
        return "max_completion_tokens"
    return name


def forces_call(body: ChatRequest) -> bool:
    """Whether the answer must call a tool, and so has no text that a form could hold for."""
    return body.tool_choice not in (None, "none", "auto")


def chat_message(message: Message, where: str) -> ChatMessage:
    """One turn. Raises `ApiError` for what cannot be read; `where` names it."""
    if message.role == "tool" and not message.tool_call_id:
        raise missing(f"{where}.tool_call_id")
    result = ChatMessage(
        role=ROLES[message.role],
        name=message.name or "",
        tool_calls=protocol_calls(message.tool_calls or ()),
        tool_call_id=message.tool_call_id or "",
    )
    if isinstance(message.content, str):
        result.content.append(ContentPart(text=message.content))
    elif message.content is not None:
        result.content.extend(
            ContentPart(text=_part_text(part, f"{where}.content[{index}]"))
            for index, part in enumerate(message.content)
        )
    elif not message.tool_calls:
        raise missing(f"{where}.content")
    return result


def _part_text(part: Part, where: str) -> str:
    if part.type == "text":
        if part.text is None:
            raise missing(f"{where}.text")
        return part.text
    if part.type == "refusal":
        if part.refusal is None:
            raise missing(f"{where}.refusal")
        return part.refusal
    raise unsupported(f"{where}.type", f"content of type {part.type!r} is")


def chat_completion(response: GenerateResponse) -> dict[str, Any]:
    """The body of an answer that was not streamed."""
    return {
        "id": f"chatcmpl-{response.response_id}",
        "object": "chat.completion",
        "created": response.create_time.seconds,
        "model": answering_model(response),
        "choices": [_choice(choice) for choice in response.choices],
        "usage": usage_json(response.usage),
    }


def _choice(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text}
    if choice.tool_calls:
        message["content"] = choice.text or None
        message["tool_calls"] = [call_json(call) for call in choice.tool_calls]
    result: dict[str, Any] = {
        "index": choice.index,
        "message": message,
        "finish_reason": FINISH_REASONS[choice.finish_reason],
    }
    if choice.logprobs:
        result["logprobs"] = logprobs_json(choice.logprobs)
    return result


def logprobs_json(entries: Any) -> dict[str, Any]:
    """The `logprobs` object of a choice or of a chunk."""
    return {"content": [logprob_entry(entry) for entry in entries], "refusal": None}


def logprob_entry(entry: TokenLogprob) -> dict[str, Any]:
    """One token with its alternatives."""
    return {
        "token": entry.text,
        "logprob": finite(entry.logprob),
        "bytes": list(entry.raw_bytes),
        "top_logprobs": [
            {"token": top.text, "logprob": finite(top.logprob), "bytes": list(top.raw_bytes)}
            for top in entry.top_logprobs
        ],
    }
