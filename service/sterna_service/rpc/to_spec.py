"""Requests as the inference package takes them: pure functions.

They check what can be checked without a model: that required fields are there, and that nothing is
asked for which this version cannot do.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from google.protobuf import duration_pb2

from sterna.v1 import generation_pb2, inference_pb2, stored_answer_pb2
from sterna_service.errors import invalid, out_of_range
from sterna_service.inference.grammar import (
    AnyJsonObject,
    JsonSchema,
    Lark,
    OneOf,
    OutputGrammar,
    Regex,
)
from sterna_service.inference.spec import (
    AnswerStorage,
    GenerationSpec,
    Harness,
    LogprobOptions,
    Prompt,
    SamplingParams,
    StopCriteria,
    TextPrompt,
    TokenPrompt,
)
from sterna_service.models.resident import FOR_GOOD, LONGEST_KEEP_ALIVE
from sterna_service.rpc.to_chat import chat_prompt


def generation_spec(
    request: inference_pb2.GenerateRequest | inference_pb2.StreamGenerateRequest,
) -> GenerationSpec:
    """The specification in a request.

    Raises:
        ServiceError: A required field is missing, or a feature is not available.
    """
    if not request.HasField("spec"):
        raise invalid("spec", "is required")
    spec = request.spec
    _check_harness(spec)
    return GenerationSpec(
        model_id=spec.model_id,
        prompt=_generation_prompt(spec),
        sampling=_sampling(spec.sampling),
        stop=_stop(spec.stop),
        choice_count=spec.choice_count,
        logprobs=(
            LogprobOptions(spec.logprobs.top_count, spec.logprobs.prompt)
            if spec.HasField("logprobs")
            else None
        ),
        echo=spec.echo,
        grammar=_grammar(spec.grammar) if spec.HasField("grammar") else None,
        harness=HARNESSES[spec.harness.harness],
        search_provider=PROVIDERS[spec.harness.search_provider],
        session_id=spec.session_id,
        storage=_storage(spec.storage) if spec.HasField("storage") else None,
        keep_alive=_keep_alive(spec),
    )


def tokenize_prompt(request: inference_pb2.TokenizeRequest) -> Prompt:
    """The prompt to tokenize.

    Raises:
        ServiceError: As `generation_spec`.
    """
    match request.WhichOneof("input"):
        case "text":
            return _text(request.text)
        case "chat":
            return chat_prompt(request.chat, "chat")
        case _:
            raise invalid("input", "is required: set one of text, chat")


def session_ttl(request: inference_pb2.CreateSessionRequest) -> timedelta | None:
    """How long a new session is kept; None leaves it to the server.

    Raises:
        ServiceError: The duration is not one that the protocol allows.
    """
    return _span(request.ttl, "ttl") if request.HasField("ttl") else None


def _storage(storage: stored_answer_pb2.AnswerStorage) -> AnswerStorage:
    return AnswerStorage(
        store=storage.store,
        previous_response_id=storage.previous_response_id,
        instructions=storage.instructions,
        document=storage.document,
        ttl=_span(storage.ttl, "spec.storage.ttl") if storage.HasField("ttl") else None,
    )


def _span(duration: duration_pb2.Duration, field: str) -> timedelta:
    try:
        return duration.ToTimedelta()
    except (ValueError, OverflowError):
        raise invalid(field, "must be a valid duration") from None


def _generation_prompt(spec: generation_pb2.GenerationSpec) -> Prompt:
    match spec.WhichOneof("prompt"):
        case "chat":
            return chat_prompt(spec.chat, "spec.chat")
        case "text":
            return _text(spec.text)
        case "tokens":
            return TokenPrompt(list(spec.tokens.token_ids))
        case _:
            raise invalid("spec.prompt", "is required: set one of chat, text, tokens")


HARNESSES: dict[int, Harness | None] = {
    generation_pb2.HARNESS_UNSPECIFIED: None,
    generation_pb2.HARNESS_DEFAULT: Harness.DEFAULT,
    generation_pb2.HARNESS_SEARCH: Harness.SEARCH,
}
PROVIDERS: dict[int, str] = {
    generation_pb2.SEARCH_PROVIDER_UNSPECIFIED: "",
    generation_pb2.SEARCH_PROVIDER_DDGS: "ddgs",
    generation_pb2.SEARCH_PROVIDER_BRAVE: "brave",
}


def _check_harness(spec: generation_pb2.GenerationSpec) -> None:
    if spec.harness.harness not in HARNESSES:
        raise invalid("spec.harness.harness", "is no harness")
    if spec.harness.search_provider not in PROVIDERS:
        raise invalid("spec.harness.search_provider", "is no search provider")
    if spec.HasField("harness") and spec.WhichOneof("prompt") != "chat":
        raise invalid("spec.harness", "needs a chat prompt")


def _keep_alive(spec: generation_pb2.GenerationSpec) -> float | None:
    if not spec.HasField("keep_alive"):
        return None
    return keep_alive_seconds(spec.keep_alive, "spec.keep_alive")


def seconds_of(duration: duration_pb2.Duration) -> float:
    """A duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def keep_alive_seconds(duration: duration_pb2.Duration, field: str) -> float:
    """How long a model stays without a request; negative durations mean for good.

    Raises:
        ServiceError: It is too long.
    """
    seconds = seconds_of(duration)
    if seconds > LONGEST_KEEP_ALIVE:
        limit = f"at most {LONGEST_KEEP_ALIVE:.0f} s, or negative for good"
        raise out_of_range(field, limit, f"{seconds:.0f} s")
    return seconds if seconds >= 0 else FOR_GOOD


def _text(prompt: generation_pb2.TextPrompt) -> TextPrompt:
    return TextPrompt(
        text=prompt.text,
        add_special_tokens=(
            prompt.add_special_tokens if prompt.HasField("add_special_tokens") else None
        ),
        suffix=prompt.suffix,
    )


def _sampling(params: generation_pb2.SamplingParams) -> SamplingParams:
    def given(name: Any) -> Any:
        return getattr(params, name) if params.HasField(name) else None

    return SamplingParams(
        temperature=given("temperature"),
        top_k=given("top_k"),
        top_p=given("top_p"),
        min_p=given("min_p"),
        repetition_penalty=given("repetition_penalty"),
        frequency_penalty=given("frequency_penalty"),
        presence_penalty=given("presence_penalty"),
        seed=given("seed"),
        logit_bias=dict(params.logit_bias),
    )


def _grammar(grammar: generation_pb2.OutputGrammar) -> OutputGrammar:
    match grammar.WhichOneof("grammar"):
        case "json_schema":
            return JsonSchema(grammar.json_schema)
        case "json_object":
            return AnyJsonObject()
        case "regex":
            return Regex(grammar.regex)
        case "choice":
            return OneOf(list(grammar.choice.texts))
        case "lark":
            return Lark(grammar.lark)
        case _:
            raise invalid(
                "spec.grammar",
                "must set one of json_schema, json_object, regex, choice, lark",
            )


def _stop(stop: generation_pb2.StopCriteria) -> StopCriteria:
    return StopCriteria(
        max_tokens=stop.max_tokens if stop.HasField("max_tokens") else None,
        min_tokens=stop.min_tokens if stop.HasField("min_tokens") else None,
        stop_strings=list(stop.stop_strings),
        stop_token_ids=list(stop.stop_token_ids),
        ignore_eos=stop.ignore_eos,
    )
