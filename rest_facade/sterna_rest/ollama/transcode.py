"""Ollama's JSON ↔ protocol. Pure functions."""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from sterna.v1.chat_pb2 import ChatMessage, ToolCall
from sterna.v1.generation_event_pb2 import Choice, FinishReason, Usage
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.model_pb2 import Model, ModelCapability
from sterna.v1.pull_pb2 import Pull
from sterna_rest.chat.tool_transcode import protocol_tools, tool_parameter
from sterna_rest.chat.transcode import ROLES, text_message
from sterna_rest.errors import ApiError
from sterna_rest.generation.grammar import schema_grammar
from sterna_rest.generation.transcode import parameter_of_field, set_given
from sterna_rest.generation.unsupported import unsupported
from sterna_rest.ollama.schemas import (
    ChatRequest,
    GenerateRequest,
    GenerationRequest,
    KeepAlive,
    Message,
    Options,
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)(ms|s|m|h)")
_WHOLE_DURATION = re.compile(r"(?:-?\d+(?:\.\d+)?(?:ms|s|m|h))+")
# Ten years in seconds: what the core takes.
_LONGEST_KEEP_ALIVE = 10 * 366 * 86400

_OPTIONS = {
    "sampling.repetition_penalty": "options.repeat_penalty",
    "stop.max_tokens": "options.num_predict",
    "stop.stop_strings": "options.stop",
}

_DONE_REASONS: dict[int, str] = {
    FinishReason.FINISH_REASON_STOP: "stop",
    FinishReason.FINISH_REASON_LENGTH: "length",
    # As Ollama says it; the calls speak for themselves.
    FinishReason.FINISH_REASON_TOOL_CALLS: "stop",
}

_CAPABILITIES = {
    ModelCapability.MODEL_CAPABILITY_COMPLETION: "completion",
    ModelCapability.MODEL_CAPABILITY_CHAT: "tools",
    ModelCapability.MODEL_CAPABILITY_EMBEDDING: "embedding",
    ModelCapability.MODEL_CAPABILITY_INFILL: "insert",
}


def model_name(name: str) -> str:
    """A name without the tag that Ollama's clients add by themselves."""
    return name.removesuffix(":latest")


def chat_spec(body: ChatRequest) -> GenerationSpec:
    """A chat. Raises `ApiError` for what cannot be read."""
    spec = _spec(body)
    for index, message in enumerate(body.messages or ()):
        spec.chat.messages.append(_message(message, f"messages[{index}]"))
    spec.chat.tools.extend(protocol_tools(body.tools or ()))
    return spec


def generate_spec(body: GenerateRequest) -> GenerationSpec:
    """A prompt: raw, or as a user's turn behind the system's. Raises as `chat_spec`."""
    if body.images:
        raise unsupported("images", "images are")
    if body.template:
        raise unsupported("template", "a template of the request's own is")
    if body.context:
        raise unsupported("context", "going on from a context is")
    spec = _spec(body)
    if body.raw or body.suffix:
        spec.text.text = body.prompt or ""
        spec.text.suffix = body.suffix or ""
        return spec
    if body.system:
        spec.chat.messages.append(text_message("system", body.system))
    spec.chat.messages.append(text_message("user", body.prompt or ""))
    return spec


def parameter(field: str) -> str:
    """The name that this API has for a field of the protocol."""
    path = field.removeprefix("spec.")
    for known, name in _OPTIONS.items():
        if path.startswith(known):
            return name + path[len(known) :]
    if path.startswith("sampling."):
        return f"options.{path.removeprefix('sampling.')}"
    if path.startswith("grammar"):
        return "format"
    return tool_parameter(parameter_of_field(field))


def _spec(body: GenerationRequest) -> GenerationSpec:
    if body.think not in (None, False):
        raise unsupported("think", "thinking is")
    spec = GenerationSpec(model_id=model_name(body.model))
    options = body.options or Options.model_validate({})
    set_given(
        spec.sampling,
        temperature=options.temperature,
        top_k=options.top_k,
        # Zero keeps the likeliest token only; the protocol's own range begins above it.
        top_p=None if options.top_p is None else max(options.top_p, 1e-9),
        min_p=options.min_p,
        seed=options.seed,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
    )
    if options.repeat_penalty is not None:
        spec.sampling.repetition_penalty = options.repeat_penalty or 1.0
    if options.num_predict is not None and options.num_predict >= 0:
        spec.stop.max_tokens = max(1, options.num_predict)
    stop = options.stop
    spec.stop.stop_strings.extend([stop] if isinstance(stop, str) else stop or ())
    if body.format == "json":
        spec.grammar.json_object.SetInParent()
    elif isinstance(body.format, dict):
        spec.grammar.CopyFrom(schema_grammar(body.format))
    return spec


def _message(message: Message, where: str) -> ChatMessage:
    if message.images:
        raise unsupported(f"{where}.images", "images are")
    turn = text_message(message.role, message.content or "")
    for index, call in enumerate(message.tool_calls or ()):
        turn.tool_calls.append(
            ToolCall(
                id=call.id or f"call_{index}",
                name=call.function.name,
                arguments=to_json(call.function.arguments).decode(),
            )
        )
    turn.name = message.tool_name or ""
    turn.tool_call_id = message.tool_call_id or ""
    return turn


def link_results(spec: GenerationSpec) -> None:
    """Gives tool results the ids of the calls that they answer: these clients name tools only."""
    open_calls: list[ToolCall] = []
    for message in spec.chat.messages:
        open_calls.extend(message.tool_calls)
        if message.role == ROLES["tool"] and not message.tool_call_id:
            found = next((call for call in open_calls if call.name == message.name), None)
            found = found or next(iter(open_calls), None)
            if found is not None:
                message.tool_call_id = found.id
                message.name = message.name or found.name
                open_calls.remove(found)


def keep_alive_seconds(value: KeepAlive) -> float:
    """`300`, `5m` or `1h30m` in seconds; negative: for good. Raises `ApiError`."""
    seconds = _duration(value) if isinstance(value, str) else value
    if not math.isfinite(seconds) or abs(seconds) > _LONGEST_KEEP_ALIVE:
        raise ApiError(
            400,
            "`keep_alive` must be seconds, or numbers with units such as 5m, of 87840h at most.",
            code="invalid_value",
            param="keep_alive",
        )
    return seconds


def _duration(text: str) -> float:
    if _WHOLE_DURATION.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    try:
        return float(text)
    except ValueError:
        return math.nan


def done(model: str, reason: str, usage: Usage | None = None) -> dict[str, Any]:
    """The last object of an answer, without its message. Durations are nanoseconds."""
    body: dict[str, Any] = {
        "model": model,
        "created_at": now(),
        "done": True,
        "done_reason": reason,
    }
    if usage is not None:
        queue, prefill, decode = (
            duration.ToNanoseconds()
            for duration in (usage.queue_duration, usage.prefill_duration, usage.decode_duration)
        )
        body |= {
            "total_duration": queue + prefill + decode,
            "load_duration": queue,
            "prompt_eval_count": usage.prompt_token_count,
            "prompt_eval_duration": prefill,
            "eval_count": usage.completion_token_count,
            "eval_duration": decode,
        }
    return body


def done_reason(reason: int) -> str:
    """Why an answer ended, in Ollama's words."""
    return _DONE_REASONS.get(reason, "stop")


def chat_message(choice: Choice) -> dict[str, Any]:
    """The message of an answer that was not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": choice.text}
    if choice.tool_calls:
        message["tool_calls"] = [call_json(each.name, each.arguments) for each in choice.tool_calls]
    return message


def call_json(name: str, arguments: str) -> dict[str, Any]:
    """A whole call; an answer that reached its limit in the middle of one has empty arguments."""
    try:
        parsed = json.loads(arguments)
    except ValueError:
        parsed = {}
    return {"function": {"name": name, "arguments": parsed if isinstance(parsed, dict) else {}}}


def tag(model: Model) -> dict[str, Any]:
    """A model in a list."""
    return {
        "name": model.model_id,
        "model": model.model_id,
        "modified_at": _moment(model.create_time.ToDatetime(tzinfo=UTC)),
        "size": model.size_bytes,
        "digest": digest(model),
        "details": details(model),
    }


def running(model: Model, expires_at: datetime | None) -> dict[str, Any]:
    """A loaded model."""
    # Far enough away for "never".
    moment = expires_at or datetime(9999, 1, 1, tzinfo=UTC)
    return tag(model) | {
        "size": model.memory_bytes,
        "size_vram": 0,
        "expires_at": _moment(moment),
        "context_length": model.context_length,
    }


def details(model: Model) -> dict[str, Any]:
    """What a model is, in short."""
    return {
        "parent_model": "",
        "format": model.format,
        "family": model.family,
        "families": [model.family],
        "parameter_size": _parameters(model.parameter_count),
        "quantization_level": model.quantization,
    }


def show(model: Model) -> dict[str, Any]:
    """All that is known of a model."""
    sampling = model.default_sampling
    shape = model.architecture
    family = model.family or "model"
    return {
        "license": "",
        "modelfile": f"FROM {model.model_id}",
        "parameters": f"temperature {sampling.temperature:g}\ntop_p {sampling.top_p:g}",
        "template": model.template_name,
        "details": details(model),
        "model_info": {
            "general.architecture": family,
            "general.parameter_count": model.parameter_count,
            f"{family}.block_count": shape.layer_count,
            f"{family}.context_length": model.context_length,
            f"{family}.embedding_length": shape.hidden_size,
            f"{family}.feed_forward_length": shape.intermediate_size,
            f"{family}.attention.head_count": shape.head_count,
            f"{family}.attention.head_count_kv": shape.kv_head_count,
        },
        "capabilities": [
            _CAPABILITIES[each] for each in model.capabilities if each in _CAPABILITIES
        ],
        "modified_at": _moment(model.create_time.ToDatetime(tzinfo=UTC)),
    }


def pull_status(pull: Pull) -> dict[str, Any]:
    """How far a download is."""
    match pull.state:
        case Pull.STATE_DOWNLOADING:
            return {
                "status": f"pulling {pull.current_file or pull.source}",
                "digest": pull.current_file,
                "total": pull.total_bytes,
                "completed": pull.received_bytes,
            }
        case Pull.STATE_VERIFYING:
            return {"status": "verifying sha256 digest"}
        case Pull.STATE_PACKING:
            return {"status": "writing manifest"}
        case Pull.STATE_COMPLETED:
            return {"status": "success"}
        case _:
            return {"status": "pulling manifest"}


def digest(model: Model) -> str:
    """A name for this version of a model, in the form of a digest."""
    identity = f"{model.model_id} {model.revision} {model.size_bytes} {model.create_time.seconds}"
    return hashlib.sha256(identity.encode()).hexdigest()


def now() -> str:
    """The present, as Ollama writes it."""
    return _moment(datetime.now(UTC))


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _parameters(count: int) -> str:
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= limit:
            return f"{count / limit:.1f}{unit}"
    return str(count)
