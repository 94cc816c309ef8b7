"""The Responses API through the official `openai` package, by the embedded model."""

from __future__ import annotations

import json
from typing import Annotated, Any

import httpx
import httpx2
import openai
import pytest
from pydantic import BaseModel, Field

from sterna.v1.generation_event_pb2 import (
    ChoiceFinished,
    FinishReason,
    GenerationDelta,
    GenerationStarted,
    ToolCallDelta,
    Usage,
)
from sterna_rest.errors import ApiError
from sterna_rest.responses.schemas import ResponseRequest
from sterna_rest.responses.stream import ResponseEvents
from sterna_rest.responses.transcode import response_parameter, response_spec
from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"
FRANCE = "What is the capital of France?"
PARIS = "The capital of France is Paris."

SEQUENCE = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


class Capital(BaseModel):
    """What the model is to fill in."""

    city: Annotated[str, Field(max_length=12)]
    certain: bool


async def test_an_answer(api: openai.AsyncOpenAI) -> None:
    answer = await api.responses.create(model=MODEL, input=FRANCE, temperature=0)
    assert answer.object == "response"
    assert answer.id.startswith("resp_")
    assert answer.status == "completed"
    assert answer.model == MODEL
    assert answer.output_text == PARIS
    chat = await api.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": FRANCE}], temperature=0
    )
    assert answer.usage is not None
    assert chat.usage is not None
    assert answer.usage.input_tokens == chat.usage.prompt_tokens
    assert answer.usage.output_tokens == chat.usage.completion_tokens
    assert answer.usage.total_tokens == chat.usage.total_tokens


async def test_the_events_of_a_stream(api: openai.AsyncOpenAI) -> None:
    stream = await api.responses.create(model=MODEL, input=FRANCE, temperature=0, stream=True)
    events = [event async for event in stream]
    kinds = [event.type for event in events]
    # Any number of deltas, and otherwise exactly this.
    assert list(dict.fromkeys(kinds)) == SEQUENCE
    assert [k for k in kinds if k != SEQUENCE[4]] == [k for k in SEQUENCE if k != SEQUENCE[4]]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == PARIS
    assert len({e.item_id for e in events if hasattr(e, "item_id")}) == 1


async def test_the_stream_helper(api: openai.AsyncOpenAI) -> None:
    async with api.responses.stream(model=MODEL, input=FRANCE, temperature=0) as stream:
        final = await stream.get_final_response()
    whole = await api.responses.create(model=MODEL, input=FRANCE, temperature=0)
    assert final.output_text == whole.output_text == PARIS
    assert final.usage is not None
    assert whole.usage is not None
    assert final.usage.output_tokens == whole.usage.output_tokens


async def test_an_answer_that_is_cut_short(api: openai.AsyncOpenAI) -> None:
    fields: Any = {"model": MODEL, "input": FRANCE, "temperature": 0, "max_output_tokens": 2}
    answer = await api.responses.create(**fields)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert PARIS.startswith(answer.output_text)
    stream = await api.responses.create(**fields, stream=True)
    kinds = [event.type async for event in stream]
    assert kinds[-1] == "response.incomplete"


async def test_instructions_and_items(api: openai.AsyncOpenAI) -> None:
    first = await api.responses.create(model=MODEL, input=FRANCE, temperature=0)
    second = await api.responses.create(
        model=MODEL,
        instructions="Answer briefly.",
        input=[
            {"role": "user", "content": FRANCE},
            first.output[0].to_dict(),  # type: ignore[list-item]
            {"role": "user", "content": [{"type": "input_text", "text": FRANCE}]},
        ],
        temperature=0,
    )
    chat = await api.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Answer briefly."},
            {"role": "user", "content": FRANCE},
            {"role": "assistant", "content": PARIS},
            {"role": "user", "content": FRANCE},
        ],
        temperature=0,
    )
    assert second.output_text == chat.choices[0].message.content
    assert second.instructions == "Answer briefly."


async def test_parse_into_a_model(api: openai.AsyncOpenAI) -> None:
    answer = await api.responses.parse(model=MODEL, input=FRANCE, text_format=Capital)
    assert isinstance(answer.output_parsed, Capital)
    async with api.responses.stream(model=MODEL, input=FRANCE, text_format=Capital) as stream:
        final = await stream.get_final_response()
    assert isinstance(final.output_parsed, Capital)


async def test_logprobs(api: openai.AsyncOpenAI) -> None:
    answer = await api.responses.create(
        model=MODEL,
        input=FRANCE,
        temperature=0,
        include=["message.output_text.logprobs"],
        top_logprobs=2,
    )
    part: Any = answer.output[0].content[0]  # type: ignore[union-attr, index]
    assert "".join(entry.token for entry in part.logprobs) == PARIS
    assert all(len(entry.top_logprobs) == 2 for entry in part.logprobs)


@pytest.mark.parametrize(
    ("extra", "status", "param"),
    [
        ({"store": 1}, 400, "store"),
        ({"previous_response_id": "resp_1"}, 400, "previous_response_id"),
        ({"conversation": "conv_1"}, 400, "conversation"),
        ({"truncation": "auto"}, 400, "truncation"),
        ({"instructions": "x" * 2**20}, 422, "instructions"),
        ({"tools": [{"type": "web_search"}]}, 400, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, 400, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "a b"}]}, 400, "tools[0].name"),
        ({"tool_choice": {"type": "function"}}, 400, "tool_choice.name"),
        ({"background": True}, 400, "background"),
        ({"include": ["file_search_call.results"]}, 400, "include[0]"),
        ({"top_logprobs": 2}, 400, "top_logprobs"),
        ({"text": {"verbosity": "low"}}, 400, "text.verbosity"),
        ({"text": {"format": {"type": "xml"}}}, 400, "text.format"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "no"}}}},
            400,
            "text.format.schema",
        ),
        ({"temperature": 3}, 422, "temperature"),
        ({"max_output_tokens": 10**6}, 400, "max_output_tokens"),
        ({"input": []}, 422, "input"),
        ({"input": [{"role": "user"}]}, 400, "input[0].content"),
        ({"input": [{"type": "function_call_output"}]}, 400, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "a"}]}, 400, "input[0].name"),
        ({"input": [{"type": "reasoning"}]}, 400, "input[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            400,
            "input[0].content[0].type",
        ),
    ],
)
async def test_what_is_refused(
    api: openai.AsyncOpenAI, extra: dict[str, Any], status: int, param: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await api.responses.create(model=MODEL, input=FRANCE, extra_body=extra)
    assert caught.value.status_code == status
    assert caught.value.param == param


async def test_what_asks_for_nothing_is_taken(live: Live) -> None:
    body = {"input": FRANCE, "store": False, "tools": [], "truncation": "disabled", "odd": 1}
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(f"{live.url}/v1/responses", json=body)
    assert answer.status_code == 200
    assert answer.headers["x-ignored-params"] == "odd"


async def test_an_error_in_a_stream_is_raised_by_the_client() -> None:
    events = ResponseEvents(ResponseRequest.model_validate({"input": "Hi"}))
    raw = events.error(ApiError(503, "Gone.", code="service_unavailable"))

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=raw, headers={"content-type": "text/event-stream"})

    transport = httpx2.MockTransport(answer)
    async with openai.AsyncOpenAI(
        base_url="http://x/v1", api_key="x", http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        stream = await client.responses.create(model=MODEL, input="Hi", stream=True)
        with pytest.raises(openai.APIError, match="Gone"):
            [event async for event in stream]


@pytest.mark.parametrize(
    ("instructions", "text", "field", "name"),
    [
        (None, "Hi", "spec.chat.messages[0].content", "input"),
        ("Be", [{"role": "user", "content": "Hi"}], "spec.storage.instructions", "instructions"),
        ("Be", [{"role": "user", "content": "Hi"}], "spec.chat.messages[0].role", "input[0].role"),
        (None, "Hi", "spec.storage.previous_response_id", "previous_response_id"),
        (None, [{"role": "user", "content": "Hi"}], "spec.chat.messages", "input"),
        (None, "Hi", "spec.sampling.top_p", "top_p"),
    ],
)
async def test_names_of_fields(instructions: str | None, text: Any, field: str, name: str) -> None:
    body = ResponseRequest.model_validate({"instructions": instructions, "input": text})
    spec = response_spec(body)
    assert len(spec.chat.messages) == 1
    assert spec.storage.instructions == (instructions or "")
    assert response_parameter(body, field) == name


WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


async def test_a_tool_is_called(api: openai.AsyncOpenAI) -> None:
    fields: Any = {
        "model": "",
        "input": "Weather in Rome?",
        "tools": [WEATHER],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "temperature": 0,
    }
    answer = await api.responses.create(**fields)
    (call,) = answer.output
    assert call.type == "function_call"
    assert call.name == "weather"
    assert list(json.loads(call.arguments)) == ["city"]
    assert answer.tools[0].type == "function"
    stream = await api.responses.create(stream=True, **fields)
    events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert set(kinds[3:-3]) == {"response.function_call_arguments.delta"}
    assert kinds[-3:] == [
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last: Any = events[-1]
    assert last.response.output[0].arguments == call.arguments
    # The result goes back, and the conversation goes on.
    followed = await api.responses.create(
        model="",
        tools=[WEATHER],
        max_output_tokens=40,
        input=[
            {"role": "user", "content": "Weather in Rome?"},
            call.model_dump(),
            {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"},
        ],
    )
    assert followed.output


async def test_text_and_calls_in_one_stream() -> None:
    events = ResponseEvents(ResponseRequest.model_validate({"input": "Hi"}))
    out = events.begin(0, GenerationStarted(response_id="1", model_id="m"))
    out += events.delta(0, GenerationDelta(text="Let me see."))
    for index, id in enumerate(("call_a", "call_b")):
        piece = ToolCallDelta(index=index, id=id, name="f", arguments="{}")
        out += events.delta(0, GenerationDelta(tool_calls=[piece]))
    reason = FinishReason.FINISH_REASON_TOOL_CALLS
    out += events.finished(0, ChoiceFinished(finish_reason=reason)) + events.end(Usage())
    body = json.loads(out.decode().splitlines()[-2].removeprefix("data: "))["response"]
    assert [item["type"] for item in body["output"]] == [
        "message",
        "function_call",
        "function_call",
    ]
    assert {item["status"] for item in body["output"]} == {"completed"}
    assert out.count(b"response.output_item.done") == 6  # as event and as type
