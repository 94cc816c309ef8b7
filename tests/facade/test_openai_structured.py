"""Structured output through the official `openai` package, by the embedded model."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

import jsonschema_rs
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, Field

from tests.support.schemas import SCHEMAS

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"
FRANCE: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the capital of France?"}
]
Short = Annotated[str, Field(max_length=12)]


class Place(BaseModel):
    """A nested part."""

    city: Short
    size: Literal["small", "large"]


class Capital(BaseModel):
    """What the model is to fill in; the order of the fields is no alphabetical one."""

    question: Short
    answer: Place
    certain: bool


async def test_parse_into_a_model(api: openai.AsyncOpenAI) -> None:
    for seed in range(4):
        answer = await api.chat.completions.parse(
            model=MODEL, messages=FRANCE, response_format=Capital, seed=seed, temperature=1.2
        )
        choice = answer.choices[0]
        assert choice.finish_reason == "stop"
        assert isinstance(choice.message.parsed, Capital)
        assert list(json.loads(choice.message.content or "")) == ["question", "answer", "certain"]


async def test_parse_a_stream(api: openai.AsyncOpenAI) -> None:
    async with api.chat.completions.stream(
        model=MODEL, messages=FRANCE, response_format=Capital, seed=3
    ) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert "content.delta" in kinds
    assert isinstance(final.choices[0].message.parsed, Capital)


async def test_any_object(api: openai.AsyncOpenAI) -> None:
    answer = await api.chat.completions.create(
        model=MODEL,
        messages=FRANCE,
        response_format={"type": "json_object"},
        max_tokens=200,
        seed=1,
    )
    text = answer.choices[0].message.content or ""
    assert text.startswith("{")
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(text), dict)


async def test_text_is_no_constraint(api: openai.AsyncOpenAI) -> None:
    answer = await api.chat.completions.create(
        model=MODEL, messages=FRANCE, response_format={"type": "text"}, temperature=0
    )
    assert answer.choices[0].message.content == "The capital of France is Paris."


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        ({"regex": "[a-f]{3}-[0-9]{2}"}, "[a-f]{3}-[0-9]{2}"),
        ({"choice": ["yes", "no"]}, "yes|no"),
        ({"lark": 'start: "a" DIGITS\nDIGITS: /[0-9]{1,3}/'}, "a[0-9]{1,3}"),
        ({"json_schema": {"enum": ["red", "green"]}}, '"(red|green)"'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_the_extension(api: openai.AsyncOpenAI, grammar: Any, pattern: str) -> None:
    chat = await api.chat.completions.create(
        model=MODEL, messages=FRANCE, seed=5, n=2, extra_body={"grammar": grammar}
    )
    for choice in chat.choices:
        assert re.fullmatch(pattern, choice.message.content or "")
    text = await api.completions.create(
        model=MODEL, prompt="Say it: ", seed=5, extra_body={"grammar": grammar}
    )
    assert re.fullmatch(pattern, text.choices[0].text)


@pytest.mark.parametrize(
    ("extra", "param", "says"),
    [
        ({"grammar": {"regex": "a(b"}}, "grammar", "unclosed group"),
        ({"grammar": {"lark": "start: nowhere"}}, "grammar", "nowhere"),
        ({"grammar": {"choice": []}}, "grammar.choice", "1 to 1024"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "nothing"}},
                }
            },
            "response_format.json_schema.schema",
            "nothing",
        ),
    ],
)
async def test_what_cannot_be_compiled(
    api: openai.AsyncOpenAI, extra: Any, param: str, says: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await api.chat.completions.create(model=MODEL, messages=FRANCE, extra_body=extra)
    assert caught.value.status_code in (400, 422)
    assert caught.value.param == param
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"grammar": {}}, "grammar"),
        ({"grammar": {"regex": "a", "choice": ["b"]}}, "grammar"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"grammar": {"regex": "a"}, "response_format": {"type": "json_object"}}, "grammar"),
    ],
)
async def test_what_is_malformed(api: openai.AsyncOpenAI, extra: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await api.chat.completions.create(model=MODEL, messages=FRANCE, extra_body=extra)
    assert caught.value.param == param


@pytest.mark.parametrize("name", SCHEMAS)
async def test_what_a_schema_leaves_open_still_ends(api: openai.AsyncOpenAI, name: str) -> None:
    """Without a limit of tokens; benchmarks/structured.py tries each of them twenty times."""
    question, schema = SCHEMAS[name]
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    answer = await api.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        response_format=form,
        temperature=1,
        seed=1,
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    validator.validate(json.loads(choice.message.content or ""))
