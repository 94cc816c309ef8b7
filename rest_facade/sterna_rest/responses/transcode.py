"""Responses ↔ protocol. Pure functions."""

from __future__ import annotations

from typing import Any

from sterna.v1.chat_pb2 import ChatMessage
from sterna.v1.generation_event_pb2 import Choice, FinishReason, Usage
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import GenerateResponse
from sterna.v1.stored_answer_pb2 import StoredAnswer
from sterna_rest.chat.transcode import logprob_entry, text_message
from sterna_rest.errors import ApiError
from sterna_rest.errors.api_error import missing
from sterna_rest.generation.grammar import format_grammar, schema_grammar
from sterna_rest.generation.model_name import answering_model
from sterna_rest.generation.transcode import parameter_of_field, set_given
from sterna_rest.generation.unsupported import unsupported
from sterna_rest.responses.schemas import (
    LOGPROBS,
    FlatSchemaFormat,
    InputItem,
    InputPart,
    ResponseOptions,
    ResponseRequest,
)
from sterna_rest.responses.tools import add_tools, call_item, call_message, joined_calls

# There is no reasoning to add, so the second asks for nothing.
_INCLUDES = frozenset({LOGPROBS, "reasoning.encrypted_content"})

_NAMES = {
    "max_tokens": "max_output_tokens",
    "prompt": "input",
    # Of what is kept for giving it back, nothing else can be as large.
    "document": "instructions",
}

_PREFIX = "resp_"

_TEXTS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}


def response_spec(body: ResponseRequest) -> GenerationSpec:
    """The whole request. Raises `ApiError` for what cannot be honoured."""
    for index, name in enumerate(body.include or ()):
        if name not in _INCLUDES:
            raise unsupported(f"include[{index}]", f"{name!r} is")
    wants_logprobs = LOGPROBS in (body.include or ())
    if body.top_logprobs and not wants_logprobs:
        raise ApiError(
            400,
            f"`top_logprobs` needs {LOGPROBS!r} in `include`; add it, or leave `top_logprobs` out.",
            code="invalid_value",
            param="top_logprobs",
        )
    spec = GenerationSpec(model_id=body.model or "")
    set_given(spec.sampling, temperature=body.temperature, top_p=body.top_p)
    set_given(spec.stop, max_tokens=body.max_output_tokens)
    if wants_logprobs:
        spec.logprobs.top_count = body.top_logprobs or 0
        spec.logprobs.SetInParent()
    _set_grammar(spec, body)
    _set_storage(spec, body)
    if isinstance(body.input, str):
        spec.chat.messages.append(text_message("user", body.input))
    else:
        items = [_item(item, f"input[{index}]") for index, item in enumerate(body.input)]
        spec.chat.messages.extend(joined_calls(items))
    add_tools(body, spec.chat)
    return spec


def response_parameter(body: ResponseRequest, field: str) -> str:
    """The name that this API has for a field of the protocol."""
    name = parameter_of_field(field)
    if name.startswith("grammar"):
        return "text.format.schema"
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith("tool"):
        return name.replace(".parameters_schema", ".parameters").replace(".tool_name", ".name")
    if not name.startswith("messages"):
        return name
    if isinstance(body.input, str):
        return "input"
    head, bracket, rest = name.partition("[")
    number, _, tail = rest.partition("]")
    if not bracket or not number.isdecimal():
        return "input" + name.removeprefix(head)
    return f"input[{number}]{tail}"


def _set_storage(spec: GenerationSpec, body: ResponseRequest) -> None:
    storage = spec.storage
    storage.store = body.stores()
    storage.previous_response_id = core_id(body.previous_response_id or "")
    storage.instructions = body.instructions or ""
    if body.stores():
        storage.document = body.model_dump_json(
            include=set(ResponseOptions.model_fields), exclude_unset=True, by_alias=True
        )
    storage.SetInParent()


def core_id(response_id: str) -> str:
    """The core's name for a response."""
    return response_id.removeprefix(_PREFIX)


def _set_grammar(spec: GenerationSpec, body: ResponseRequest) -> None:
    form = body.text.format if body.text is not None else None
    if isinstance(form, FlatSchemaFormat):
        spec.grammar.CopyFrom(schema_grammar(form.schema_))
    elif form is not None and (grammar := format_grammar(form)) is not None:
        spec.grammar.CopyFrom(grammar)
    verbosity = body.text.verbosity if body.text is not None else None
    if verbosity not in (None, "medium"):
        raise unsupported("text.verbosity", "verbosity is")


def _item(item: InputItem, where: str) -> ChatMessage:
    if item.type == "function_call":
        return call_message(item, where)
    if item.type == "function_call_output":
        return _result(item, where)
    if item.type not in (None, "message"):
        raise unsupported(f"{where}.type", f"input of type {item.type!r} is")
    if item.role is None:
        raise missing(f"{where}.role")
    if item.content is None:
        raise missing(f"{where}.content")
    return text_message(item.role, *_texts(item.content, f"{where}.content"))


def _result(item: InputItem, where: str) -> ChatMessage:
    if not item.call_id:
        raise missing(f"{where}.call_id")
    if item.output is None:
        raise missing(f"{where}.output")
    message = text_message("tool", *_texts(item.output, f"{where}.output"))
    message.tool_call_id = item.call_id
    return message


def _texts(content: str | list[InputPart], where: str) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [_part(part, f"{where}[{index}]") for index, part in enumerate(content)]


def _part(part: InputPart, where: str) -> str:
    name = _TEXTS.get(part.type)
    if name is None:
        raise unsupported(f"{where}.type", f"content of type {part.type!r} is")
    text = part.refusal if name == "refusal" else part.text
    if text is None:
        raise missing(f"{where}.{name}")
    return text


def response_body(body: ResponseRequest, response: GenerateResponse) -> dict[str, Any]:
    """The body of an answer that was not streamed."""
    result = envelope(
        body, response.response_id, response.create_time.seconds, answering_model(response)
    )
    return _completed(result, response.choices[0], response.usage)


def stored_body(answer: StoredAnswer) -> dict[str, Any]:
    """The same body, from what the core keeps."""
    options = ResponseOptions.model_validate_json(answer.document or "{}")
    # It may have been stored without this API.
    options.previous_response_id = answer.previous_response_id or None
    if options.previous_response_id is not None:
        options.previous_response_id = _PREFIX + options.previous_response_id
    result = envelope(options, answer.response_id, answer.create_time.seconds, answer.model_id)
    return _completed(result, answer.choice, answer.usage)


def _completed(result: dict[str, Any], choice: Choice, usage: Usage) -> dict[str, Any]:
    entries = [logprob_entry(entry) for entry in choice.logprobs]
    items = [
        call_item(result["id"], call.id, call.name, call.arguments, "")
        for call in choice.tool_calls
    ]
    if choice.text or not items:
        item = message_item(result["id"], "")
        item["content"] = [text_part(choice.text, entries)]
        items.insert(0, item)
    complete(result, items, choice.finish_reason, usage)
    return result


def envelope(
    body: ResponseOptions, response_id: str, created: int, model_id: str
) -> dict[str, Any]:
    """An answer that has just begun."""
    form = body.text.format if body.text is not None else None
    choice = body.tool_choice or "auto"
    return {
        "id": f"{_PREFIX}{response_id}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": model_id,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "store": body.stores(),
        "temperature": body.temperature,
        "text": {
            "format": form.model_dump(by_alias=True) if form is not None else {"type": "text"}
        },
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "tools": [tool.model_dump() for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }


def complete(
    response: dict[str, Any], items: list[dict[str, Any]], reason: FinishReason, usage: Usage
) -> None:
    """Puts the end of an answer into its envelope. What was cut off is its last item."""
    cut = reason == FinishReason.FINISH_REASON_LENGTH
    response["status"] = "incomplete" if cut else "completed"
    if cut:
        response["incomplete_details"] = {"reason": "max_output_tokens"}
    for item in items:
        item["status"] = response["status"] if item is items[-1] else "completed"
    response["output"] = items
    response["usage"] = {
        "input_tokens": usage.prompt_token_count,
        "input_tokens_details": {"cached_tokens": usage.cached_token_count},
        "output_tokens": usage.completion_token_count,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_token_count + usage.completion_token_count,
    }


def message_item(response_id: str, status: str) -> dict[str, Any]:
    """The text of an answer as an item, without its content."""
    return {
        "id": f"msg_{response_id.removeprefix(_PREFIX)}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [],
    }


def text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    """The one part of that item."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}
