"""Constrained output over real gRPC, by the embedded model."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import grpc
import pytest

from sterna.v1 import generation_event_pb2, generation_pb2
from tests.support.core import CoreClient, chat, refusal

Grammar = generation_pb2.OutputGrammar
STOP = generation_event_pb2.FINISH_REASON_STOP

SCHEMAS: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer", "minimum": 0, "maximum": 999},
    "boolean": {"type": "boolean"},
    "enum": {"enum": ["red", "green", "blue"]},
    "text": {"type": "string", "maxLength": 24},
    "numbers": {"type": "array", "items": {"type": "integer", "maximum": 9}, "maxItems": 4},
    "capital": {
        "type": "object",
        "properties": {
            "country": {"type": "string", "maxLength": 16},
            "capital": {"type": "string", "maxLength": 16},
        },
        "required": ["country", "capital"],
        "additionalProperties": False,
    },
    "nested": {
        "type": "object",
        "properties": {
            "point": {
                "type": "object",
                "properties": {
                    "x": {"type": "integer", "minimum": -99, "maximum": 99},
                    "y": {"type": "integer", "minimum": -99, "maximum": 99},
                },
                "required": ["x", "y"],
                "additionalProperties": False,
            },
            "name": {"type": ["string", "null"], "maxLength": 8},
        },
        "required": ["point", "name"],
        "additionalProperties": False,
    },
}


def spec(grammar: Grammar, **fields: Any) -> generation_pb2.GenerationSpec:
    fields.setdefault("sampling", generation_pb2.SamplingParams(temperature=1.0, seed=7))
    fields.setdefault("stop", generation_pb2.StopCriteria(max_tokens=400))
    return chat("What is the capital of France?", grammar=grammar, **fields)


def matches(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value satisfies one of the schemas above."""
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    types = {
        "integer": int,
        "boolean": bool,
        "string": str,
        "array": list,
        "object": dict,
        "null": type(None),
    }
    if type(value) not in [types[kind] for kind in kinds]:
        return False
    if isinstance(value, str):
        return len(value) <= int(schema["maxLength"])
    if isinstance(value, list):
        return len(value) <= int(schema["maxItems"]) and all(
            matches(item, schema["items"]) for item in value
        )
    if isinstance(value, dict):
        properties = schema["properties"]
        return list(value) == list(properties) and all(
            matches(value[name], properties[name]) for name in properties
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


@pytest.mark.parametrize("name", SCHEMAS)
async def test_every_answer_is_valid_under_its_schema(core: CoreClient, name: str) -> None:
    schema = SCHEMAS[name]
    grammar = Grammar(json_schema=json.dumps(schema))
    calls = [
        core.generate(
            spec(
                grammar,
                choice_count=2,
                sampling=generation_pb2.SamplingParams(temperature=1.5, seed=seed),
            )
        )
        for seed in range(5)
    ]
    for response in await asyncio.gather(*calls):
        for choice in response.choices:
            assert choice.finish_reason == STOP, choice.text
            assert matches(json.loads(choice.text), schema), choice.text


async def test_any_json_object(core: CoreClient) -> None:
    grammar = Grammar(json_object=generation_pb2.AnyJsonObject())
    response = await core.generate(
        spec(grammar, sampling=generation_pb2.SamplingParams(temperature=0.0))
    )
    assert response.choices[0].text.startswith("{")
    if response.choices[0].finish_reason == STOP:
        assert isinstance(json.loads(response.choices[0].text), dict)


async def test_a_regular_expression_matches_as_a_whole(core: CoreClient) -> None:
    response = await core.generate(spec(Grammar(regex=r"[A-Z][a-z]{2,5}-\d{3}"), choice_count=4))
    for choice in response.choices:
        assert re.fullmatch(r"[A-Z][a-z]{2,5}-\d{3}", choice.text), choice.text


async def test_one_of_some_texts(core: CoreClient) -> None:
    texts = ["Paris", 'say "no"\n', "größer 🐦", "back\\slash"]
    grammar = Grammar(choice=generation_pb2.ChoiceList(texts=texts))
    response = await core.generate(spec(grammar, choice_count=8))
    assert {choice.text for choice in response.choices} <= set(texts)


async def test_a_context_free_grammar(core: CoreClient) -> None:
    lark = 'start: "(" start ")" | "x"'
    response = await core.generate(spec(Grammar(lark=lark), choice_count=8))
    for choice in response.choices:
        if choice.finish_reason == STOP:
            depth = choice.text.count("(")
            assert choice.text == "(" * depth + "x" + ")" * depth


async def test_a_stream_carries_the_same_text(core: CoreClient) -> None:
    grammar = Grammar(json_schema=json.dumps(SCHEMAS["capital"]))
    whole = (await core.generate(spec(grammar))).choices[0].text
    parts = [event.delta.text async for event in core.stream(spec(grammar))]
    assert "".join(parts) == whole


async def test_end_tokens_end_it_even_when_they_are_to_be_ignored(core: CoreClient) -> None:
    stop = generation_pb2.StopCriteria(max_tokens=50, ignore_eos=True)
    response = await core.generate(spec(Grammar(regex="abc"), stop=stop))
    assert response.choices[0].text == "abc"
    assert response.choices[0].finish_reason == STOP


async def test_guided_and_free_calls_do_not_disturb_each_other(core: CoreClient) -> None:
    greedy = generation_pb2.SamplingParams(temperature=0.0)
    free = chat("What is the capital of France?", sampling=greedy)
    alone = (await core.generate(free)).choices[0].text
    guided = [spec(Grammar(regex=r"\d{40}")) for _ in range(4)]
    answers = await asyncio.gather(*(core.generate(each) for each in [free, *guided, free]))
    assert answers[0].choices[0].text == answers[-1].choices[0].text == alone
    digits = {answer.choices[0].text for answer in answers[1:-1]}
    assert len(digits) == 1  # one seed, one answer
    assert re.fullmatch(r"\d{40}", digits.pop())


@pytest.mark.parametrize(
    ("grammar", "names"),
    [
        (Grammar(json_schema='{"type": "objct"}'), "objct"),
        (Grammar(json_schema="{"), "line 1 column 2"),
        (Grammar(json_schema="[" * 100_000), "not JSON"),
        (Grammar(json_schema="3"), "object"),
        (Grammar(regex="(("), "unclosed group"),
        (Grammar(lark="start: missing"), "missing"),
    ],
)
async def test_a_grammar_that_cannot_be_compiled_says_where(
    core: CoreClient, grammar: generation_pb2.OutputGrammar, names: str
) -> None:
    refused = await refusal(core.generate(spec(grammar)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == "GRAMMAR_INVALID"
    assert names in refused.message


@pytest.mark.parametrize(
    "grammar",
    [
        Grammar(),
        Grammar(regex=""),
        Grammar(choice=generation_pb2.ChoiceList()),
        Grammar(choice=generation_pb2.ChoiceList(texts=["a", ""])),
        Grammar(regex="a" * (256 * 1024 + 1)),
    ],
)
async def test_an_empty_or_endless_grammar_is_refused_by_field(
    core: CoreClient, grammar: generation_pb2.OutputGrammar
) -> None:
    refused = await refusal(core.generate(spec(grammar)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.metadata["field"].startswith("spec.grammar")
