"""Calling tools over real gRPC, by the embedded model, which was never trained to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sterna.v1 import chat_pb2, generation_event_pb2, generation_pb2, inference_pb2
from tests.support.core import PATIENCE, CoreClient, chat, refusal

Choice = chat_pb2.ToolChoice
TOOL_CALLS = generation_event_pb2.FINISH_REASON_TOOL_CALLS
STOP = generation_event_pb2.FINISH_REASON_STOP
LENGTH = generation_event_pb2.FINISH_REASON_LENGTH

SCHEMAS: dict[str, dict[str, Any]] = {
    "weather": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
        },
        "required": ["city", "days"],
    },
    "set-alarm": {
        "type": "object",
        "properties": {
            "hour": {"type": "integer"},
            "label": {"type": "string"},
            "volume": {"type": "number"},
            "days": {"type": "array", "items": {"enum": ["mon", "tue", "wed"]}},
        },
        "required": ["hour", "label", "volume", "days"],
    },
}


def asking(
    mode: chat_pb2.ToolChoice.Mode, name: str = "", seed: int = 0, **fields: Any
) -> generation_pb2.GenerationSpec:
    sampling = generation_pb2.SamplingParams(temperature=1.0, seed=seed)
    spec = chat("What is the weather in Paris?", sampling=sampling, **fields)
    for tool, schema in SCHEMAS.items():
        spec.chat.tools.add(
            name=tool, description=f"Does {tool}", parameters_schema=json.dumps(schema)
        )
    spec.chat.tool_choice.CopyFrom(Choice(mode=mode, tool_name=name))
    return spec


def check_arguments(name: str, text: str) -> None:
    """Checks that a call is what its schema asks for."""
    arguments = json.loads(text)
    if name == "weather":
        assert set(arguments) == {"city", "days"}
        assert isinstance(arguments["city"], str)
        assert arguments["days"] in range(1, 15)
    else:
        assert list(arguments) == ["hour", "label", "volume", "days"]
        assert isinstance(arguments["hour"], int)
        assert isinstance(arguments["label"], str)
        assert isinstance(arguments["volume"], int | float)
        assert set(arguments["days"]) <= {"mon", "tue", "wed"}


@pytest.mark.parametrize("name", SCHEMAS)
async def test_a_named_tool_is_called_every_time(core: CoreClient, name: str) -> None:
    for seed in range(12):
        answer = await core.generate(asking(Choice.MODE_NAMED, name, seed))
        choice = answer.choices[0]
        assert (choice.finish_reason, choice.text) == (TOOL_CALLS, "")
        assert choice.WhichOneof("stop_cause") is None
        (call,) = choice.tool_calls
        assert call.name == name
        check_arguments(name, call.arguments)


OPEN_ENDED: dict[str, dict[str, Any]] = {
    "no properties": {"type": "object"},
    "anything": {"type": "object", "properties": {"a": {}, "b": True}, "required": ["a", "b"]},
    "members of any name": {
        "type": "object",
        "properties": {"a": {"type": "object", "additionalProperties": {"type": "number"}}},
        "required": ["a"],
    },
    "a large number": {
        "type": "object",
        "properties": {"a": {"type": "number", "exclusiveMinimum": 1e12}},
        "required": ["a"],
    },
    "a list of anything": {
        "type": "object",
        "properties": {"a": {"type": "array", "minItems": 2}},
        "required": ["a"],
    },
    "objects in objects": {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}},
        "required": ["a"],
    },
    "either": {
        "type": "object",
        "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
        "required": ["a"],
    },
    "not a schema": {"type": "object", "properties": {"a": {"enum": 5}}},
}


@pytest.mark.parametrize("kind", OPEN_ENDED)
async def test_arguments_without_limits_come_to_an_end(core: CoreClient, kind: str) -> None:
    for seed in range(4):
        spec = asking(Choice.MODE_NAMED, "f", seed)
        del spec.chat.tools[:]
        spec.chat.tools.add(name="f", parameters_schema=json.dumps(OPEN_ENDED[kind]))
        choice = (await core.generate(spec)).choices[0]
        assert choice.finish_reason == TOOL_CALLS
        arguments = json.loads(choice.tool_calls[0].arguments)
        assert set(OPEN_ENDED[kind].get("required", ())) <= set(arguments)


async def test_some_tool_is_called_when_one_must_be(core: CoreClient) -> None:
    ids: list[str] = []
    for seed in range(12):
        spec = asking(Choice.MODE_REQUIRED, "", seed, choice_count=2)
        for choice in (await core.generate(spec)).choices:
            assert choice.finish_reason == TOOL_CALLS
            assert choice.tool_calls
            for call in choice.tool_calls:
                ids.append(call.id)
                check_arguments(call.name, call.arguments)
    assert len(ids) == len(set(ids)) >= 24


async def test_one_call_at_most_unless_several_are_welcome(core: CoreClient) -> None:
    most = 0
    for seed in range(24):
        spec = asking(Choice.MODE_REQUIRED, "", seed)
        most = max(most, len((await core.generate(spec)).choices[0].tool_calls))
        spec.chat.parallel_tool_calls = False
        assert len((await core.generate(spec)).choices[0].tool_calls) == 1
    assert most > 1


async def test_the_stream_of_a_call(core: CoreClient) -> None:
    spec = asking(Choice.MODE_REQUIRED, seed=3)
    whole = (await core.generate(spec)).choices[0]
    events = [event async for event in core.stream(spec)]
    deltas = [event.delta for event in events if event.HasField("delta")]
    assert not any(delta.text for delta in deltas)
    pieces = [piece for delta in deltas for piece in delta.tool_calls]
    calls: list[list[str]] = []
    for piece in pieces:
        if piece.index == len(calls):
            assert piece.id
            assert piece.name
            calls.append([piece.name, ""])
        else:
            assert not piece.id
            assert not piece.name
        calls[piece.index][1] += piece.arguments
    assert calls == [[call.name, call.arguments] for call in whole.tool_calls]
    assert len(pieces) > 2 * len(calls)  # the arguments come while they are made
    ids = [id for delta in deltas for id in delta.token_ids]
    assert ids == list(whole.token_ids)
    (finished,) = [event.finished for event in events if event.HasField("finished")]
    assert finished.finish_reason == TOOL_CALLS


async def test_a_model_that_may_call_may_also_just_talk(core: CoreClient) -> None:
    spec = asking(Choice.MODE_AUTO)
    spec.sampling.temperature = 0
    choice = (await core.generate(spec)).choices[0]
    assert choice.text
    assert (choice.finish_reason, list(choice.tool_calls)) == (STOP, [])


async def test_a_model_that_may_call_or_answer_in_json(core: CoreClient) -> None:
    spec = asking(
        Choice.MODE_AUTO, grammar=generation_pb2.OutputGrammar(json_schema='{"const": 7}')
    )
    del spec.chat.tools[:]
    spec.chat.tools.add(name="look-around")
    # Which of both is left to the model; here the answer is made very unlikely, then the call.
    seven = await core.inference.Tokenize(
        inference_pb2.TokenizeRequest(text=generation_pb2.TextPrompt(text="7")), timeout=PATIENCE
    )
    for bias, reason in ((-100.0, TOOL_CALLS), (100.0, STOP)):
        spec.sampling.logit_bias[seven.token_ids[-1]] = bias
        choice = (await core.generate(spec)).choices[0]
        assert choice.finish_reason == reason
        assert choice.text == ("7" if reason == STOP else "")
        assert bool(choice.tool_calls) == (reason == TOOL_CALLS)


async def test_no_tool_is_called_when_none_may_be(core: CoreClient) -> None:
    with_tools = await core.generate(asking(Choice.MODE_NONE, seed=1))
    without = await core.generate(
        chat(
            "What is the weather in Paris?",
            sampling=generation_pb2.SamplingParams(temperature=1.0, seed=1),
        )
    )
    assert with_tools.choices == without.choices


async def test_a_call_that_is_cut_off_says_so(core: CoreClient) -> None:
    stop = generation_pb2.StopCriteria(max_tokens=30)
    choice = (await core.generate(asking(Choice.MODE_NAMED, "weather", stop=stop))).choices[0]
    assert choice.finish_reason == LENGTH


async def test_results_of_tools_in_a_session(core: CoreClient) -> None:
    request = inference_pb2.CreateSessionRequest()
    session = (await core.inference.CreateSession(request, timeout=PATIENCE)).session.session_id
    asked = asking(Choice.MODE_NAMED, "weather", seed=2, session_id=session)
    call = (await core.generate(asked)).choices[0].tool_calls[0]
    result = generation_pb2.GenerationSpec(
        session_id=session, stop=generation_pb2.StopCriteria(max_tokens=16), echo=True
    )
    result.chat.messages.add(
        role=chat_pb2.ROLE_TOOL,
        content=[chat_pb2.ContentPart(text="Sunny, 24 degrees")],
        tool_call_id=call.id,
    )
    answer = await core.generate(result)
    assert "<tool_response>\nSunny, 24 degrees\n</tool_response>" in answer.prompt_text
    assert call.arguments in answer.prompt_text
    stored = await core.inference.GetSession(
        inference_pb2.GetSessionRequest(session_id=session, include_messages=True),
        timeout=PATIENCE,
    )
    roles = [message.role for message in stored.messages]
    assert roles == [
        chat_pb2.ROLE_USER,
        chat_pb2.ROLE_ASSISTANT,
        chat_pb2.ROLE_TOOL,
        chat_pb2.ROLE_ASSISTANT,
    ]
    assert stored.messages[1].tool_calls[0] == call
    assert stored.messages[2].tool_call_id == call.id


async def test_what_is_refused(core: CoreClient) -> None:
    async def fields(change: Any) -> list[str]:
        spec = asking(Choice.MODE_AUTO)
        change(spec)
        return (await refusal(core.generate(spec))).fields

    def message(**values: Any) -> Any:
        return lambda spec: spec.chat.messages.add(**values)

    text = [chat_pb2.ContentPart(text="x")]
    assistant, tool = chat_pb2.ROLE_ASSISTANT, chat_pb2.ROLE_TOOL
    where = "spec.chat.messages[1]"
    assert await fields(message(role=tool, content=text)) == [f"{where}.tool_call_id"]
    user = message(role=chat_pb2.ROLE_USER, content=text, tool_call_id="a")
    assert await fields(user) == [f"{where}.tool_call_id"]
    calls = [chat_pb2.ToolCall(id="a", name="weather", arguments="[1]")]
    broken = message(role=assistant, tool_calls=calls)
    assert await fields(broken) == [f"{where}.tool_calls[0].arguments"]
    assert await fields(message(role=assistant)) == [f"{where}.content"]
    assert await fields(
        lambda spec: spec.chat.tool_choice.CopyFrom(Choice(mode=Choice.MODE_NAMED))
    ) == ["spec.chat.tool_choice.tool_name"]
    assert await fields(lambda spec: spec.chat.tools.add(name="weather")) == [
        "spec.chat.tools[2].name"
    ]
    assert await fields(
        lambda spec: spec.grammar.CopyFrom(generation_pb2.OutputGrammar(regex="a"))
    ) == ["spec.grammar"]
