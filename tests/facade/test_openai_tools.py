"""Calling tools through the official `openai` package, by the embedded model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal, cast

import httpx
import openai
import pytest
from openai.types.chat import (
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)
from pydantic import BaseModel, Field

from sterna_rest.chat.schemas import ChatChunk, ChatCompletion
from tests.facade.conftest import Live
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"
CHAT = "/v1/chat/completions"
QUESTION = "What is the weather in Paris?"
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 20},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
            },
            "required": ["city", "days"],
        },
    },
}
CLOCK: ChatCompletionToolParam = {"type": "function", "function": {"name": "read-clock"}}
TOOLS = [WEATHER, CLOCK]
NAMED: Any = {"type": "function", "function": {"name": "weather"}}
REQUIRED: dict[str, Any] = {
    "messages": ASKED,
    "tools": TOOLS,
    "tool_choice": "required",
    "temperature": 1,
}


def check_call(name: str, arguments: str) -> None:
    """Checks a call against the schema of its tool."""
    values = json.loads(arguments)
    if name == "weather":
        assert list(values) == ["city", "days"]
        assert isinstance(values["city"], str)
        assert values["days"] in range(1, 15)
    else:
        assert (name, values) == ("read-clock", {})


def functions(calls: Iterable[Any] | None) -> list[ChatCompletionMessageFunctionToolCall]:
    result = list(calls or ())
    assert all(isinstance(call, ChatCompletionMessageFunctionToolCall) for call in result)
    return result


async def test_a_call(api: openai.AsyncOpenAI) -> None:
    answer = await api.chat.completions.create(
        model=MODEL, messages=ASKED, tools=TOOLS, tool_choice=NAMED, seed=1, n=2
    )
    ids = []
    for choice in answer.choices:
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        (call,) = functions(choice.message.tool_calls)
        assert (call.type, call.function.name) == ("function", "weather")
        check_call(call.function.name, call.function.arguments)
        ids.append(call.id)
    assert len(set(ids)) == 2
    assert all(ids)


async def test_one_call_or_several(api: openai.AsyncOpenAI) -> None:
    most = 0
    for seed in range(32):
        for several in (True, False):
            answer = await api.chat.completions.create(
                model=MODEL,
                messages=ASKED,
                tools=TOOLS,
                tool_choice="required",
                parallel_tool_calls=several,
                temperature=1,
                seed=seed,
            )
            calls = functions(answer.choices[0].message.tool_calls)
            assert len(calls) >= 1 if several else len(calls) == 1
            for call in calls:
                check_call(call.function.name, call.function.arguments)
            most = max(most, len(calls))
    assert most > 1


@pytest.mark.parametrize("choice", [None, "auto", "none"])
async def test_a_model_that_need_not_call(
    api: openai.AsyncOpenAI, choice: Literal["auto", "none"] | None
) -> None:
    answer = await api.chat.completions.create(
        model=MODEL,
        messages=ASKED,
        tools=TOOLS,
        tool_choice=choice if choice is not None else openai.omit,
        temperature=0,
    )
    message = answer.choices[0].message
    assert (answer.choices[0].finish_reason, message.tool_calls) == ("stop", None)
    assert message.content
    if choice == "none":
        plain = await api.chat.completions.create(model=MODEL, messages=ASKED, temperature=0)
        assert message.content == plain.choices[0].message.content


class Weather(BaseModel):
    """The weather in a city."""

    city: Annotated[str, Field(max_length=20)]
    unit: Literal["celsius", "fahrenheit"]


async def test_the_streaming_helper_puts_calls_together(api: openai.AsyncOpenAI) -> None:
    tool = openai.pydantic_function_tool(Weather, name="weather")
    async with api.chat.completions.stream(
        model=MODEL, messages=ASKED, tools=[tool], tool_choice=NAMED, seed=3
    ) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert kinds.count("tool_calls.function.arguments.delta") > 1
    assert kinds.count("tool_calls.function.arguments.done") == 1
    assert "content.delta" not in kinds
    choice = final.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    (call,) = choice.message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Weather)
    whole = await api.chat.completions.parse(
        model=MODEL, messages=ASKED, tools=[tool], tool_choice=NAMED, seed=3
    )
    (same,) = whole.choices[0].message.tool_calls or []
    assert same.function.parsed_arguments == call.function.parsed_arguments


@pytest.mark.parametrize("logprobs", [False, True])
async def test_the_grammar_of_a_stream(live: Live, logprobs: bool) -> None:
    body = REQUIRED | {"seed": 3, "n": 2, "logprobs": logprobs}
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        whole = (await client.post(CHAT, json=body)).json()
        response = await client.post(CHAT, json=body | {"stream": True})
    ChatCompletion.model_validate(whole)
    events = parse_events(response.content)
    assert events.done
    assert "error" not in events.chunks[-1]
    for chunk in events.chunks:
        ChatChunk.model_validate(chunk)
        assert len(chunk["choices"]) == 1
    for index in range(2):
        mine = [c["choices"][0] for c in events.chunks if c["choices"][0]["index"] == index]
        assert mine[0]["delta"] == {"role": "assistant"}
        assert mine[-1]["delta"] == {}
        assert [c["finish_reason"] for c in mine] == [None] * (len(mine) - 1) + ["tool_calls"]
        calls: list[list[str]] = []
        scored = 0
        for choice in mine[1:-1]:
            scored += len(choice.get("logprobs", {"content": []})["content"])
            if not choice["delta"].get("tool_calls"):
                # Tokens whose text is part of no argument.
                assert (choice["delta"], logprobs) == ({"content": ""}, True)
                continue
            (piece,) = choice["delta"]["tool_calls"]
            if piece["index"] == len(calls):
                assert set(piece) == {"index", "id", "type", "function"}
                assert (piece["type"], bool(piece["id"])) == ("function", True)
                assert piece["function"]["arguments"] == ""
                calls.append([piece["function"]["name"], ""])
            else:
                assert set(piece) == {"index", "function"}
                assert set(piece["function"]) == {"arguments"}
                assert piece["index"] == len(calls) - 1
            calls[-1][1] += piece["function"]["arguments"]
        expected = whole["choices"][index]
        made = [call["function"] for call in expected["message"]["tool_calls"]]
        assert calls == [[call["name"], call["arguments"]] for call in made]
        assert scored == len(expected.get("logprobs", {"content": []})["content"])
        assert bool(scored) == logprobs


async def test_the_result_of_a_call_is_read(api: openai.AsyncOpenAI) -> None:
    first = await api.chat.completions.create(
        model=MODEL, messages=ASKED, tools=TOOLS, tool_choice=NAMED, seed=2
    )
    message = first.choices[0].message
    (call,) = functions(message.tool_calls)
    # As programs do it: the message of the answer goes back as it is.
    said = cast(ChatCompletionMessageParam, message.model_dump(exclude_unset=True))
    history: list[ChatCompletionMessageParam] = [*ASKED, said]

    async def follow_up(result: str) -> tuple[str, int]:
        answer = await api.chat.completions.create(
            model=MODEL,
            messages=[*history, {"role": "tool", "tool_call_id": call.id, "content": result}],
            tools=TOOLS,
            tool_choice="none",
            temperature=0,
            max_tokens=24,
        )
        assert answer.usage is not None
        assert answer.choices[0].message.tool_calls is None
        return answer.choices[0].message.content or "", answer.usage.prompt_tokens

    text, short = await follow_up("Sunny")
    assert text
    _, long = await follow_up("Sunny, and 24 degrees in the shade of the tallest tree")
    assert long > short, "the result is part of the prompt"


async def test_the_call_and_its_result_stand_in_the_prompt(live: Live) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "Sunny"}]},
    ]
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        tokens = await client.post(
            "/tokenize", json={"messages": messages, "return_token_strs": True}
        )
        assert tokens.status_code == 200
        text = await client.post("/detokenize", json={"tokens": tokens.json()["tokens"]})
    assert '{"name": "weather", "arguments": {}}' in text.json()["prompt"]
    assert "<tool_response>\nSunny\n</tool_response>" in text.json()["prompt"]


async def test_a_call_that_is_cut_off_says_so(api: openai.AsyncOpenAI) -> None:
    answer = await api.chat.completions.create(
        model=MODEL, messages=ASKED, tools=TOOLS, tool_choice=NAMED, max_tokens=30
    )
    assert answer.choices[0].finish_reason == "length"


def message(role: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [*ASKED, {"role": role, **fields}]}


def calling(arguments: str, name: str = "weather") -> list[dict[str, Any]]:
    return [{"id": "a", "type": "function", "function": {"name": name, "arguments": arguments}}]


def tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [WEATHER, {"type": "function", "function": {"name": "f", **fields}}]}


REFUSALS: list[tuple[dict[str, Any], int, str, str]] = [
    ({"tools": "weather"}, 400, "invalid_type", "tools"),
    ({"tools": [{}]}, 400, "missing_required_parameter", "tools[0].type"),
    ({"tools": [{"type": "custom"}]}, 400, "unsupported_parameter", "tools[0].type"),
    (
        {"tools": [{"type": "function"}]},
        400,
        "missing_required_parameter",
        "tools[0].function",
    ),
    (tool(name="a b"), 400, "invalid_value", "tools[1].function.name"),
    (tool(name="weather"), 400, "invalid_value", "tools[1].function.name"),
    (tool(parameters=[]), 400, "invalid_type", "tools[1].function.parameters"),
    (
        tool(parameters={"type": "string"}),
        400,
        "grammar_invalid",
        "tools[1].function.parameters",
    ),
    (
        tool(strict=True, parameters={"type": "object", "properties": {"a": {"enum": 5}}}),
        400,
        "grammar_invalid",
        "tools[1].function.parameters",
    ),
    ({"tools": [CLOCK] * 129}, 422, "invalid_value", "tools"),
    ({"tools": [], "tool_choice": "required"}, 400, "invalid_value", "tool_choice"),
    ({"tool_choice": "always"}, 422, "invalid_value", "tool_choice"),
    ({"tool_choice": 1}, 400, "invalid_type", "tool_choice"),
    (
        {"tool_choice": {"type": "allowed_tools"}},
        400,
        "unsupported_parameter",
        "tool_choice.type",
    ),
    (
        {"tool_choice": {"type": "function"}},
        400,
        "missing_required_parameter",
        "tool_choice.function",
    ),
    (
        {"tool_choice": {"type": "function", "function": {"name": "nowhere"}}},
        400,
        "invalid_value",
        "tool_choice.function.name",
    ),
    ({"parallel_tool_calls": "yes"}, 400, "invalid_type", "parallel_tool_calls"),
    (
        message("tool", content="x"),
        400,
        "missing_required_parameter",
        "messages[1].tool_call_id",
    ),
    (
        message("user", content="x", tool_call_id="a"),
        400,
        "invalid_value",
        "messages[1].tool_call_id",
    ),
    (
        message("user", content="x", tool_calls=calling("{}")),
        400,
        "invalid_value",
        "messages[1].tool_calls",
    ),
    (
        message("assistant", tool_calls=calling("[1]")),
        400,
        "invalid_value",
        "messages[1].tool_calls[0].function.arguments",
    ),
    (
        message("assistant", tool_calls=calling("{}", "")),
        400,
        "invalid_value",
        "messages[1].tool_calls[0].function.name",
    ),
    (
        message("assistant", content=None, tool_calls=[]),
        400,
        "missing_required_parameter",
        "messages[1].content",
    ),
    (
        {"tool_choice": "required", "response_format": {"type": "json_object"}},
        400,
        "invalid_value",
        "response_format",
    ),
    ({"grammar": {"regex": "a"}}, 400, "invalid_value", "grammar"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fields", "status", "code", "param"), REFUSALS)
async def test_what_is_refused(
    live: Live, fields: dict[str, Any], status: int, code: str, param: str, stream: bool
) -> None:
    body = {"messages": ASKED, "tools": TOOLS, "stream": stream, "max_tokens": 4} | fields
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        response = await client.post(CHAT, json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert f"`{param}`" in error["message"]
    assert "spec." not in error["message"]
