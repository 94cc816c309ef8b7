"""JSON ↔ protocol for what chat and text completions share. Pure functions."""

from __future__ import annotations

import math
from json.encoder import encode_basestring
from typing import Any

from sterna.v1.generation_event_pb2 import FinishReason, TokenAlternative, TokenLogprob, Usage
from sterna.v1.generation_pb2 import GenerationSpec, SamplingParams, StopCriteria
from sterna_rest.generation.fields import GenerationFields

# JSON has no infinity; this is what OpenAI sends for an impossible token.
IMPOSSIBLE_LOGPROB = -9999.0

FINISH_REASONS = {
    FinishReason.FINISH_REASON_STOP: "stop",
    FinishReason.FINISH_REASON_LENGTH: "length",
    FinishReason.FINISH_REASON_TOOL_CALLS: "tool_calls",
}

# What HTTP clients call the fields of a GenerationSpec, where the name is another one.
_PARAMETERS = {
    "model_id": "model",
    "adapter_id": "model",
    "choice_count": "n",
    "stop.stop_strings": "stop",
    "logprobs.top_count": "top_logprobs",
    "text.text": "prompt",
    "text.suffix": "suffix",
    "tokens.token_ids": "prompt",
    "grammar.choice.texts": "grammar.choice",
}
_PREFIXES = ("sampling.", "stop.", "chat.", "storage.")


def generation_spec(fields: GenerationFields) -> GenerationSpec:
    """Everything but the prompt and the log-probabilities. What was left out stays absent."""
    spec = GenerationSpec(model_id=fields.model or "", choice_count=fields.n or 0)
    sampling = spec.sampling
    set_given(
        sampling,
        temperature=fields.temperature,
        top_k=fields.top_k,
        top_p=fields.top_p,
        min_p=fields.min_p,
        frequency_penalty=fields.frequency_penalty,
        presence_penalty=fields.presence_penalty,
        seed=fields.seed,
    )
    if fields.repetition_penalty is not None:
        # 0 cannot divide a logit; clients that send it mean "no penalty".
        sampling.repetition_penalty = fields.repetition_penalty or 1.0
    for token_id, bias in (fields.logit_bias or {}).items():
        sampling.logit_bias[int(token_id)] = bias
    stop = spec.stop
    set_given(stop, max_tokens=fields.max_tokens, min_tokens=fields.min_tokens)
    stop.stop_strings.extend(fields.stops())
    stop.stop_token_ids.extend(fields.stop_token_ids or ())
    stop.ignore_eos = bool(fields.ignore_eos)
    return spec


def set_given(target: SamplingParams | StopCriteria, **values: float | None) -> None:
    """Sets the fields that have a value; the others stay absent."""
    for name, value in values.items():
        if value is not None:
            setattr(target, name, value)


def parameter_of_field(field: str) -> str:
    """The HTTP name of a field of the protocol: `spec.sampling.top_p` is `top_p`."""
    path = field.removeprefix("spec.")
    for known, name in _PARAMETERS.items():
        if path == known or path.startswith((f"{known}[", f"{known}.")):
            return name + path[len(known) :]
    for prefix in _PREFIXES:
        if path.startswith(prefix):
            return path[len(prefix) :]
    return path


def usage_json(usage: Usage) -> dict[str, Any]:
    """`usage` with `cached_tokens` in both places where clients look for it."""
    return {
        "prompt_tokens": usage.prompt_token_count,
        "completion_tokens": usage.completion_token_count,
        "total_tokens": usage.prompt_token_count + usage.completion_token_count,
        "cached_tokens": usage.cached_token_count,
        "prompt_tokens_details": {"cached_tokens": usage.cached_token_count},
    }


def sum_of_usage(parts: list[Usage]) -> Usage:
    """What several calls used together. Durations are left out: calls overlap."""
    return Usage(
        prompt_token_count=sum(p.prompt_token_count for p in parts),
        completion_token_count=sum(p.completion_token_count for p in parts),
        cached_token_count=sum(p.cached_token_count for p in parts),
    )


def logprob_json(entry: TokenLogprob | TokenAlternative) -> float:
    """A natural logarithm that JSON can hold."""
    return finite(entry.logprob)


def finite(logprob: float) -> float:
    """`logprob`, or OpenAI's stand-in when it is not finite."""
    return logprob if math.isfinite(logprob) else IMPOSSIBLE_LOGPROB


def json_string(text: str) -> str:
    """`text` as a JSON string literal. The fastest encoder at hand for one short string."""
    return encode_basestring(text)
