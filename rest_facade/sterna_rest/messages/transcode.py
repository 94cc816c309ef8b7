"""Messages ↔ protocol. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sterna.v1.chat_pb2 import ChatMessage, ChatPrompt
from sterna.v1.generation_event_pb2 import Choice, ChoiceFinished, FinishReason, Usage
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import GenerateResponse, TokenizeRequest
from sterna_rest.chat.transcode import text_message
from sterna_rest.generation.grammar import schema_grammar
from sterna_rest.generation.model_name import answering_model
from sterna_rest.generation.transcode import parameter_of_field, set_given
from sterna_rest.messages.schemas import Block, CountRequest, MessageRequest
from sterna_rest.messages.tools import add_tools, turn_messages, use_block


def message_spec(body: MessageRequest) -> GenerationSpec:
    """The whole request. Raises `ApiError` for what cannot be read."""
    spec = GenerationSpec(model_id=body.model or "", chat=_chat(body))
    set_given(spec.sampling, temperature=body.temperature, top_p=body.top_p, top_k=body.top_k)
    set_given(spec.stop, max_tokens=body.max_tokens)
    spec.stop.stop_strings.extend(body.stop_sequences or ())
    if body.output_config is not None and body.output_config.format is not None:
        spec.grammar.CopyFrom(schema_grammar(body.output_config.format.schema_))
    return spec


def count_request(body: CountRequest) -> TokenizeRequest:
    """The prompt alone. Raises as `message_spec`."""
    return TokenizeRequest(model_id=body.model or "", chat=_chat(body))


def message_parameter(body: CountRequest, field: str) -> str:
    """The name that this API has for a field of the protocol."""
    name = parameter_of_field(field).removeprefix("chat.")
    if name.startswith("grammar"):
        return "output_config.format.schema"
    if name.startswith("stop") and not name.startswith("stop_"):
        return "stop_sequences" + name.removeprefix("stop")
    if name.startswith("messages[") and body.system is not None:
        number, _, tail = name.removeprefix("messages[").partition("]")
        if number.isdecimal():
            return f"messages[{int(number) - 1}]{tail}" if int(number) else "system"
    if name.startswith("tools["):
        name = name.replace(".parameters_schema", ".input_schema")
    if name == "tool_choice.tool_name":
        return "tool_choice.name"
    return "messages" if name == "prompt" else name


def _chat(body: CountRequest) -> ChatPrompt:
    chat = ChatPrompt(continue_final_message=body.messages[-1].role == "assistant")
    if body.system is not None:
        chat.messages.extend(_messages("system", body.system, "system"))
    for index, turn in enumerate(body.messages):
        chat.messages.extend(_messages(turn.role, turn.content, f"messages[{index}].content"))
    add_tools(body, chat)
    return chat


def _messages(role: str, content: str | list[Block], where: str) -> Iterable[ChatMessage]:
    if isinstance(content, str):
        return [text_message(role, content)]
    return turn_messages(role, content, where)


def message_body(response: GenerateResponse) -> dict[str, Any]:
    """The body of an answer that was not streamed."""
    choice = response.choices[0]
    return envelope(response.response_id, answering_model(response)) | {
        "content": _content(choice),
        **stop_fields(choice),
        "usage": usage_json(response.usage),
    }


def _content(choice: Choice) -> list[dict[str, Any]]:
    blocks = [use_block(call.id, call.name, call.arguments) for call in choice.tool_calls]
    if choice.text or not blocks:
        blocks.insert(0, {"type": "text", "text": choice.text})
    return blocks


def envelope(response_id: str, model_id: str) -> dict[str, Any]:
    """An answer that has just begun."""
    return {
        "id": f"msg_{response_id}",
        "type": "message",
        "role": "assistant",
        "model": model_id,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def stop_fields(choice: Choice | ChoiceFinished) -> dict[str, str | None]:
    """Why an answer ended."""
    if choice.finish_reason == FinishReason.FINISH_REASON_LENGTH:
        return {"stop_reason": "max_tokens", "stop_sequence": None}
    if choice.finish_reason == FinishReason.FINISH_REASON_TOOL_CALLS:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if choice.WhichOneof("stop_cause") == "stop_string":
        return {"stop_reason": "stop_sequence", "stop_sequence": choice.stop_string}
    return {"stop_reason": "end_turn", "stop_sequence": None}


def usage_json(usage: Usage) -> dict[str, int]:
    """Tokens; this API counts those of the cache apart."""
    return {
        "input_tokens": usage.prompt_token_count - usage.cached_token_count,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_token_count,
        "output_tokens": usage.completion_token_count,
    }
