"""Bad requests: each gets one clear refusal, and the server goes on."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, struct_pb2

from sterna.v1 import chat_pb2, generation_pb2, inference_pb2, model_admin_pb2
from tests.support.core import PATIENCE, CoreClient, Refusal, chat, refusal

SAMPLING = generation_pb2.SamplingParams
STOP = generation_pb2.StopCriteria
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def with_tools(mode: chat_pb2.ToolChoice.Mode, *tools: str) -> generation_pb2.GenerationSpec:
    spec = chat("Hi")
    spec.chat.tools.extend(chat_pb2.Tool(name=name) for name in tools)
    spec.chat.tool_choice.mode = mode
    return spec


def with_schema(schema: str) -> generation_pb2.GenerationSpec:
    spec = chat("Hi")
    spec.chat.tools.add(name="f", parameters_schema=schema)
    return spec


def message(**fields: Any) -> generation_pb2.GenerationSpec:
    prompt = chat_pb2.ChatPrompt(messages=[chat_pb2.ChatMessage(**fields)])
    return generation_pb2.GenerationSpec(chat=prompt)


def raw(text: str, **fields: Any) -> generation_pb2.GenerationSpec:
    return generation_pb2.GenerationSpec(text=generation_pb2.TextPrompt(text=text, **fields))


def tokens(*ids: int) -> generation_pb2.GenerationSpec:
    return generation_pb2.GenerationSpec(tokens=generation_pb2.TokenPrompt(token_ids=ids))


def arguments(**values: Any) -> generation_pb2.GenerationSpec:
    spec = chat("Hi")
    struct = struct_pb2.Struct()
    struct.update(values)
    spec.chat.template_arguments.CopyFrom(struct)
    return spec


def json_schema(text: str) -> generation_pb2.OutputGrammar:
    return generation_pb2.OutputGrammar(json_schema=text)


TEXT = [chat_pb2.ContentPart(text="x")]
USER = chat_pb2.ROLE_USER

CASES: dict[str, tuple[generation_pb2.GenerationSpec, str, str]] = {
    # name: (specification, reason, field)
    "nothing": (generation_pb2.GenerationSpec(), "INVALID_FIELD", "spec.prompt"),
    "no messages": (
        generation_pb2.GenerationSpec(chat=chat_pb2.ChatPrompt()),
        "INVALID_FIELD",
        "spec.chat.messages",
    ),
    "no role": (message(content=TEXT), "INVALID_FIELD", "spec.chat.messages[0].role"),
    "unknown role": (message(role=77, content=TEXT), "INVALID_FIELD", "spec.chat.messages[0].role"),
    "no content": (message(role=USER), "INVALID_FIELD", "spec.chat.messages[0].content"),
    "empty part": (
        message(role=USER, content=[chat_pb2.ContentPart()]),
        "INVALID_FIELD",
        "spec.chat.messages[0].content[0]",
    ),
    "reserved argument": (arguments(messages=1), "INVALID_FIELD", "spec.chat.template_arguments"),
    "forced tool without tools": (
        with_tools(chat_pb2.ToolChoice.MODE_REQUIRED),
        "INVALID_FIELD",
        "spec.chat.tool_choice",
    ),
    "very many messages": (
        chat(*[""] * 10_001),
        "FIELD_OUT_OF_RANGE",
        "spec.chat.messages",
    ),
    "empty tokens": (tokens(), "INVALID_FIELD", "spec.tokens.token_ids"),
    "token too large": (tokens(1, 4096), "FIELD_OUT_OF_RANGE", "spec.tokens.token_ids[1]"),
    "token negative": (tokens(-1), "FIELD_OUT_OF_RANGE", "spec.tokens.token_ids[0]"),
    "suffix": (raw("a", suffix="b"), "FIELD_UNSUPPORTED", "spec.text.suffix"),
    "NaN temperature": (
        chat("Hi", sampling=SAMPLING(temperature=math.nan)),
        "FIELD_OUT_OF_RANGE",
        "spec.sampling.temperature",
    ),
    "infinite top_p": (
        chat("Hi", sampling=SAMPLING(top_p=math.inf)),
        "FIELD_OUT_OF_RANGE",
        "spec.sampling.top_p",
    ),
    "zero repetition penalty": (
        chat("Hi", sampling=SAMPLING(repetition_penalty=0.0)),
        "FIELD_OUT_OF_RANGE",
        "spec.sampling.repetition_penalty",
    ),
    "bias of an unknown token": (
        chat("Hi", sampling=SAMPLING(logit_bias={5000: 1.0})),
        "FIELD_OUT_OF_RANGE",
        "spec.sampling.logit_bias",
    ),
    "top_k": (
        chat("Hi", sampling=SAMPLING(top_k=-1)),
        "FIELD_OUT_OF_RANGE",
        "spec.sampling.top_k",
    ),
    "max_tokens": (
        chat("Hi", stop=STOP(max_tokens=0)),
        "FIELD_OUT_OF_RANGE",
        "spec.stop.max_tokens",
    ),
    "empty stop string": (
        chat("Hi", stop=STOP(stop_strings=[""])),
        "FIELD_OUT_OF_RANGE",
        "spec.stop.stop_strings[0]",
    ),
    "choices": (chat("Hi", choice_count=129), "FIELD_OUT_OF_RANGE", "spec.choice_count"),
    "negative choices": (chat("Hi", choice_count=-1), "FIELD_OUT_OF_RANGE", "spec.choice_count"),
    "logprobs": (
        chat("Hi", logprobs=generation_pb2.LogprobOptions(top_count=21)),
        "FIELD_OUT_OF_RANGE",
        "spec.logprobs.top_count",
    ),
    "max_tokens beyond the context": (
        chat("Hi", stop=STOP(max_tokens=2**31 - 1)),
        "CONTEXT_LENGTH_EXCEEDED",
        "spec.stop.max_tokens",
    ),
    "keep-alive beyond all times": (
        chat("Hi", keep_alive=duration_pb2.Duration(seconds=10**15)),
        "FIELD_OUT_OF_RANGE",
        "spec.keep_alive",
    ),
    "a length in a schema that is no number": (
        chat("Hi", grammar=json_schema('{"type": "string", "maxLength": 1e999}')),
        "GRAMMAR_INVALID",
        "spec.grammar.json_schema",
    ),
    "half a surrogate in a schema": (
        chat("Hi", grammar=json_schema(r'{"const": "\ud83d"}')),
        "GRAMMAR_INVALID",
        "spec.grammar.json_schema",
    ),
    "half a surrogate in a tool": (
        with_schema(r'{"properties": {"a": {"const": "\ud83d"}}}'),
        "GRAMMAR_INVALID",
        "spec.chat.tools[0].parameters_schema",
    ),
    "half a surrogate in a call": (
        message(
            role=chat_pb2.ROLE_ASSISTANT,
            tool_calls=[chat_pb2.ToolCall(name="f", arguments=r'{"a": "\ud83d"}')],
        ),
        "INVALID_FIELD",
        "spec.chat.messages[0].tool_calls[0].arguments",
    ),
    "long prompt": (chat("word " * 2000), "CONTEXT_LENGTH_EXCEEDED", "spec.prompt"),
    "many tokens": (tokens(*[5000] * 100_000), "CONTEXT_LENGTH_EXCEEDED", "spec.prompt"),
    "very long prompt": (chat("word " * 500_000), "CONTEXT_LENGTH_EXCEEDED", "spec.prompt"),
}


@pytest.mark.parametrize("name", CASES)
async def test_bad_fields_are_named(core: CoreClient, name: str) -> None:
    spec, reason, field = CASES[name]
    whole = await refusal(core.generate(spec))
    assert (whole.code, whole.reason, whole.fields) == (INVALID, reason, [field])
    assert "\n" not in whole.message

    async def read() -> None:
        async for _ in core.stream(spec):
            pass

    assert await refusal(read()) == whole
    assert (await core.generate(chat("Hello!"))).choices[0].text


async def test_a_prompt_that_is_too_long_says_by_how_much(core: CoreClient) -> None:
    refused = await refusal(core.generate(chat("Hi", stop=STOP(max_tokens=5000))))
    assert refused.metadata["model"] == "sterna/tern-nano"
    assert refused.metadata["context_length"] == "1024"
    assert refused.metadata["max_tokens"] == "5000"
    room = 1024 - int(refused.metadata["prompt_tokens"])
    assert f"lower max_tokens to {room}" in refused.message
    # The remedy works.
    await core.generate(chat("Hi", stop=STOP(max_tokens=room)))


async def test_unknown_models_and_adapters(core: CoreClient) -> None:
    for name in ("gpt-4o", "no/such-model", "../../etc/passwd", "x" * 100_000, "é世"):
        refused = await refusal(core.generate(chat("Hi", model_id=name)))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        assert "sterna/tern-nano" in refused.message
        request = model_admin_pb2.GetModelRequest(model_id=name)
        assert await refusal(core.admin.GetModel(request, timeout=PATIENCE)) == refused
    for spec in (chat("Hi", model_id="tern-nano:pirate"), chat("Hi", adapter_id="pirate")):
        refused = await refusal(core.generate(spec))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "ADAPTER_NOT_FOUND")
        assert refused.metadata["adapter"] == "pirate"
    for name in ("", "tern-nano", "sterna/tern-nano"):
        assert (await core.generate(chat("Hello!", model_id=name))).model_id == "sterna/tern-nano"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x0a\xff\xff\xff\xff\x0f",
        # A text that is not UTF-8 in spec.model_id.
        b"\x0a\x04\x0a\x02\xc3\x28",
        # A half surrogate.
        b"\x0a\x05\x0a\x03\xed\xa0\x80",
        # Messages within messages, deeper than any parser goes.
        b"\x0a\x7f" * 200,
    ],
)
@pytest.mark.parametrize("method", ["Generate", "StreamGenerate", "Tokenize"])
async def test_bytes_that_are_no_message_are_refused(
    core: CoreClient, method: str, data: bytes
) -> None:
    path = f"/sterna.v1.InferenceService/{method}"
    if method == "StreamGenerate":
        stream = core.raw.unary_stream(path)(data, timeout=PATIENCE)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stream:
                pass
        refused = Refusal.of(caught.value)
    else:
        refused = await refusal(core.raw.unary_unary(path)(data, timeout=PATIENCE))
    assert (refused.code, refused.reason) == (INVALID, "INVALID_FIELD")
    assert (await core.generate(chat("Hello!"))).choices[0].text


async def test_a_message_over_the_limit_is_refused(core: CoreClient) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await core.generate(chat("x" * (5 * 1024 * 1024)))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await core.generate(chat("Hello!"))).choices[0].text


async def test_odd_but_valid_requests_are_answered(core: CoreClient) -> None:
    specs = [
        chat("\x00\x01\x02"),
        chat("🦆" * 100),
        chat("<|eot_id|>" * 50),
        chat("x", sampling=SAMPLING(temperature=2.0, top_k=4096, top_p=1e-30, min_p=1.0)),
        chat("x", sampling=SAMPLING(temperature=1e-30, repetition_penalty=1e-30)),
        chat("x", sampling=SAMPLING(temperature=2.0, repetition_penalty=1e-45, seed=-(2**63))),
        chat("x", sampling=SAMPLING(logit_bias=dict.fromkeys(range(1024), -100.0))),
        chat("x", sampling=SAMPLING(logit_bias={2: 100.0})),
        chat("x", stop=STOP(max_tokens=5, min_tokens=5, stop_token_ids=range(64))),
        arguments(enable_thinking=True, odd=[None, 1.5, {"deep": ["<|eot_id|>"]}]),
        tokens(*range(4), 4095),
    ]
    for spec in specs:
        if not spec.stop.HasField("max_tokens"):
            spec.stop.max_tokens = 16
        answer = await core.generate(spec)
        assert len(answer.choices) == 1
        assert answer.choices[0].finish_reason in (1, 2)


@pytest.mark.parametrize(("ids", "field"), [([4096], "token_ids[0]"), ([0, -1], "token_ids[1]")])
async def test_detokenize_checks_its_ids(core: CoreClient, ids: list[int], field: str) -> None:
    request = inference_pb2.DetokenizeRequest(token_ids=ids)
    refused = await refusal(core.inference.Detokenize(request, timeout=PATIENCE))
    assert (refused.reason, refused.fields) == ("FIELD_OUT_OF_RANGE", [field])


async def test_tokenize_needs_an_input(core: CoreClient) -> None:
    request = inference_pb2.TokenizeRequest()
    refused = await refusal(core.inference.Tokenize(request, timeout=PATIENCE))
    assert (refused.reason, refused.fields) == ("INVALID_FIELD", ["input"])
    request = inference_pb2.TokenizeRequest(chat=chat_pb2.ChatPrompt())
    refused = await refusal(core.inference.Tokenize(request, timeout=PATIENCE))
    assert (refused.reason, refused.fields) == ("INVALID_FIELD", ["chat.messages"])
