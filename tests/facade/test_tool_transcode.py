"""Tools and calls between JSON and the protocol, value by value."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sterna.v1.chat_pb2 import Role, ToolCall, ToolChoice
from sterna.v1.generation_event_pb2 import (
    Choice,
    FinishReason,
    GenerationDelta,
    TokenLogprob,
    ToolCallDelta,
)
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import StreamGenerateResponse
from sterna_rest.chat.schemas import ChatChunk, ChatCompletion, ChatRequest
from sterna_rest.chat.stream import ChatChunks
from sterna_rest.chat.transcode import chat_completion, chat_parameter, chat_spec
from sterna_rest.generation.chunks import encoded
from tests.support.scripted_core import finished, started, usage, whole_answer

QUESTION: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def body_of(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"messages": QUESTION} | fields)


def spec_of(**fields: Any) -> GenerationSpec:
    return chat_spec(body_of(**fields))


def test_what_was_left_out_stays_absent() -> None:
    for fields in ({}, {"tools": None, "tool_choice": None, "parallel_tool_calls": None}):
        chat = spec_of(**fields).chat
        assert not chat.tools
        assert not chat.HasField("tool_choice")
        assert not chat.HasField("parallel_tool_calls")


def test_tools() -> None:
    schema = {"type": "object", "properties": {"z": {}, "a": {"const": "é"}}}
    function = {"name": "f", "description": "Does", "parameters": schema, "strict": True}
    chat = spec_of(
        tools=[
            {"type": "function", "function": function},
            {"type": "function", "function": {"name": "g"}},
            {"type": "function", "function": {"name": "h", "parameters": {}}},
        ]
    ).chat
    full, bare, empty = chat.tools
    assert (full.name, full.description, full.strict) == ("f", "Does", True)
    assert full.parameters_schema == (
        '{"type":"object","properties":{"z":{},"a":{"const":"é"}}}'
    ), "in the caller's order"
    assert (bare.name, bare.description, bare.parameters_schema, bare.strict) == (
        "g",
        "",
        "",
        False,
    )
    assert empty.parameters_schema == "{}"


@pytest.mark.parametrize(
    ("choice", "mode", "name"),
    [
        ("none", ToolChoice.MODE_NONE, ""),
        ("auto", ToolChoice.MODE_AUTO, ""),
        ("required", ToolChoice.MODE_REQUIRED, ""),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice.MODE_NAMED, "f"),
    ],
)
def test_choices(choice: object, mode: ToolChoice.Mode, name: str) -> None:
    assert spec_of(tool_choice=choice).chat.tool_choice == ToolChoice(mode=mode, tool_name=name)


def test_several_calls_or_one() -> None:
    for several in (True, False):
        assert spec_of(parallel_tool_calls=several).chat.parallel_tool_calls is several


def test_calls_and_results_in_a_conversation() -> None:
    said, result = spec_of(
        messages=[
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "", "tool_call_id": "c"},
        ]
    ).chat.messages
    assert list(said.content) == []
    assert list(said.tool_calls) == [ToolCall(id="c", name="f", arguments='{"a": 1}')]
    assert (result.role, result.tool_call_id) == (Role.ROLE_TOOL, "c")
    assert [part.text for part in result.content] == [""]


@pytest.mark.parametrize(
    ("fields", "field", "name"),
    [
        ({}, "spec.chat.tools", "tools"),
        ({}, "spec.chat.tools[3].name", "tools[3].function.name"),
        ({}, "spec.chat.tools[3].parameters_schema", "tools[3].function.parameters"),
        ({}, "spec.chat.tool_choice", "tool_choice"),
        ({}, "spec.chat.tool_choice.tool_name", "tool_choice.function.name"),
        (
            {},
            "spec.chat.messages[2].tool_calls[1].arguments",
            "messages[2].tool_calls[1].function.arguments",
        ),
        ({}, "spec.chat.messages[2].tool_calls", "messages[2].tool_calls"),
        ({}, "spec.chat.messages[2].name", "messages[2].name"),
        ({"response_format": {"type": "json_object"}}, "spec.grammar", "response_format"),
        (
            {
                "tool_choice": "required",
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {}},
                },
            },
            "spec.grammar",
            "response_format",
        ),
    ],
)
def test_fields_of_the_protocol_in_the_words_of_the_caller(
    fields: dict[str, Any], field: str, name: str
) -> None:
    assert chat_parameter(body_of(**fields), field) == name


@pytest.mark.parametrize(("text", "content"), [("", None), ("Wait.", "Wait.")])
def test_a_whole_answer(text: str, content: str | None) -> None:
    response = whole_answer()
    response.choices.append(
        Choice(
            text=text,
            finish_reason=FinishReason.FINISH_REASON_TOOL_CALLS,
            tool_calls=[ToolCall(id="c", name="f", arguments='{"a": 1}')],
        )
    )
    body = chat_completion(response)
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": content, "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
        }
    ]
    ChatCompletion.model_validate(body)


async def stream_of(*deltas: GenerationDelta) -> str:
    async def events() -> AsyncIterator[tuple[int, StreamGenerateResponse]]:
        yield 0, started()
        for delta in deltas:
            yield 0, StreamGenerateResponse(delta=delta)
        yield 0, finished(reason=FinishReason.FINISH_REASON_TOOL_CALLS)
        yield 0, usage()

    encoder = ChatChunks(choice_count=1, include_usage=False)
    return b"".join([chunk async for chunk in encoded(events(), encoder, prompt_count=1)]).decode()


HEAD = (
    'data: {"id":"chatcmpl-00000000000000000000000000000000","object":"chat.completion.chunk",'
    '"created":1700000000,"model":"org/model","choices":[{"index":0,"delta":'
)
OPEN = '"finish_reason":null}]}\n\n'
END = f'{HEAD}{{}},"finish_reason":"tool_calls"}}]}}\n\ndata: [DONE]\n\n'


async def test_a_stream_to_the_letter() -> None:
    body = await stream_of(
        GenerationDelta(
            text="Wait.",
            tool_calls=[
                ToolCallDelta(index=0, id="c", name="f"),
                ToolCallDelta(index=0, arguments='{"é": "'),
            ],
        ),
        GenerationDelta(),
        GenerationDelta(tool_calls=[ToolCallDelta(index=0, arguments='"}')]),
        GenerationDelta(tool_calls=[ToolCallDelta(index=1, id="d", name="g")]),
    )
    assert body == (
        f'{HEAD}{{"role":"assistant"}},{OPEN}'
        f'{HEAD}{{"content":"Wait."}},{OPEN}'
        f'{HEAD}{{"tool_calls":[{{"index":0,"id":"c","type":"function",'
        f'"function":{{"name":"f","arguments":""}}}}]}},{OPEN}'
        f'{HEAD}{{"tool_calls":[{{"index":0,"function":{{"arguments":"{{\\"é\\": \\""}}}}]}},{OPEN}'
        f'{HEAD}{{"tool_calls":[{{"index":0,"function":{{"arguments":"\\"}}"}}}}]}},{OPEN}'
        f'{HEAD}{{"tool_calls":[{{"index":1,"id":"d","type":"function",'
        f'"function":{{"name":"g","arguments":""}}}}]}},{OPEN}'
        f"{END}"
    )


async def test_log_probabilities_go_with_the_first_chunk_of_a_delta() -> None:
    body = await stream_of(
        GenerationDelta(
            tool_calls=[
                ToolCallDelta(index=0, id="c", name="f"),
                ToolCallDelta(index=0, arguments="{}"),
            ],
            logprobs=[TokenLogprob(text="x", raw_bytes=b"x", logprob=-1)],
        )
    )
    chunks = [
        ChatChunk.model_validate_json(line.removeprefix("data: "))
        for line in body.split("\n\n")[1:3]
    ]
    assert [chunk.choices[0].logprobs is not None for chunk in chunks] == [True, False]
    assert all(chunk.choices[0].delta.tool_calls for chunk in chunks)
