"""`/api/*` ↔ protocol. Pure functions."""

from __future__ import annotations

from typing import Any

from sterna.v1.chat_pb2 import ChatMessage
from sterna.v1.generation_event_pb2 import Usage
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import CreateSessionRequest
from sterna.v1.model_pb2 import Model, ModelState
from sterna_rest.api.schemas import ApiChatRequest, ApiGenerateRequest, ApiModel, Options
from sterna_rest.chat.transcode import text_message
from sterna_rest.generation.transcode import parameter_of_field, set_given, usage_json

_MEBIBYTE = 1024 * 1024

# Keeps the likeliest token only, as 0 is meant; the protocol's own range begins above it.
_SMALLEST_TOP_P = 1e-9

_OPTIONS = frozenset({"temperature", "top_p", "top_k", "max_tokens"})


def chat_spec(body: ApiChatRequest) -> GenerationSpec:
    """The whole request; a session that is still to be made is left out."""
    spec = spec_with_options(body.model, body.options)
    spec.session_id = body.session_id or ""
    spec.chat.messages.extend(_messages(body))
    return spec


def generate_spec(body: ApiGenerateRequest) -> GenerationSpec:
    """The whole request."""
    spec = spec_with_options(body.model, body.options)
    spec.text.text = body.prompt
    spec.text.SetInParent()
    return spec


def new_session(body: ApiChatRequest, session_id: str, answer: str) -> CreateSessionRequest:
    """A conversation that begins with this request and its answer."""
    return CreateSessionRequest(
        session_id=session_id,
        model_id=body.model or "",
        messages=[*_messages(body), text_message("assistant", answer)],
    )


def api_parameter(field: str) -> str:
    """The name that this API has for a field of the protocol."""
    name = parameter_of_field(field)
    if name == "repetition_penalty":
        return "options.repeat_penalty"
    if name in _OPTIONS or name == "stop" or name.startswith("stop["):
        return f"options.{name}"
    return name


def _messages(body: ApiChatRequest) -> list[ChatMessage]:
    return [text_message(turn.role, turn.content) for turn in body.messages]


def spec_with_options(model: str | None, options: Options | None) -> GenerationSpec:
    """Everything but the prompt."""
    spec = GenerationSpec(model_id=model or "")
    if options is None:
        return spec
    set_given(
        spec.sampling,
        temperature=options.temperature,
        top_p=_SMALLEST_TOP_P if options.top_p == 0 else options.top_p,
        top_k=options.top_k,
        repetition_penalty=1.0 if options.repeat_penalty == 0 else options.repeat_penalty,
    )
    set_given(spec.stop, max_tokens=options.max_tokens)
    spec.stop.stop_strings.extend(options.stop or ())
    return spec


def chat_body(text: str, usage: Usage, session_id: str) -> dict[str, Any]:
    """The body of a chat answer that was not streamed."""
    return {
        "message": {"role": "assistant", "content": text},
        "session_id": session_id,
        "usage": _usage(usage),
    }


def generate_body(text: str, usage: Usage) -> dict[str, Any]:
    """The body of a continuation that was not streamed."""
    return {"text": text, "usage": _usage(usage)}


def _usage(usage: Usage) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")
    known = usage_json(usage)
    return {name: known[name] for name in names}


def api_model(model: Model) -> ApiModel:
    """As this API describes a model."""
    return ApiModel(
        name=model.model_id,
        family=model.family,
        size_mb=-(-model.size_bytes // _MEBIBYTE),
        quantization=model.quantization,
        context_size=model.context_length,
        template=model.template_name,
        parameters={
            # What was set in 32 bits reads as it was written.
            field.name: float(f"{value:.7g}")
            for field, value in model.default_sampling.ListFields()
            if isinstance(value, int | float)
        },
        loaded=model.state == ModelState.MODEL_STATE_LOADED,
    )
