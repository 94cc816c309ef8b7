"""`/v1/messages` through the official `anthropic` package, by the embedded model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import anthropic
import pytest
import pytest_asyncio
from anthropic.types import MessageParam
from pydantic import BaseModel

from sterna.v1.generation_event_pb2 import (
    ChoiceFinished,
    FinishReason,
    GenerationDelta,
    GenerationStarted,
    ToolCallDelta,
)
from sterna_rest.errors import ApiError
from sterna_rest.messages.schemas import MessageRequest
from sterna_rest.messages.stream import MessageEvents
from sterna_rest.messages.transcode import message_parameter, message_spec
from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"
FRANCE: list[MessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
# The package has no such argument any more; the API still has the field.
GREEDY = {"temperature": 0}
PARIS = "The capital of France is Paris."


class Capital(BaseModel):
    """What the model is to fill in."""

    city: Literal["Paris", "London"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def claude(live: Live) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=live.url, api_key="unused", max_retries=0, timeout=60
    ) as client:
        yield client


async def test_an_answer(claude: anthropic.AsyncAnthropic) -> None:
    answer = await claude.messages.create(
        model=MODEL, max_tokens=64, messages=FRANCE, extra_body=GREEDY
    )
    assert answer.id.startswith("msg_")
    assert answer._request_id
    assert answer.type == "message"
    assert answer.role == "assistant"
    assert answer.model == MODEL
    assert [(block.type, block.text) for block in answer.content] == [("text", PARIS)]  # type: ignore[union-attr]
    assert answer.stop_reason == "end_turn"
    assert answer.stop_sequence is None
    counted = await claude.messages.count_tokens(model=MODEL, messages=FRANCE)
    cached = answer.usage.cache_read_input_tokens
    assert cached is not None
    assert answer.usage.input_tokens + cached == counted.input_tokens
    assert answer.usage.output_tokens > 0


async def test_a_refusal_has_the_id_of_its_request(claude: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as refusal:
        await claude.messages.create(model="nobody/none", max_tokens=8, messages=FRANCE)
    assert refusal.value.request_id
    assert refusal.value.request_id == refusal.value.response.headers["x-request-id"]


async def test_the_events_of_a_stream(claude: anthropic.AsyncAnthropic) -> None:
    stream = await claude.messages.create(
        model=MODEL, max_tokens=64, messages=FRANCE, extra_body=GREEDY, stream=True
    )
    kinds = [event.type async for event in stream]
    assert list(dict.fromkeys(kinds)) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_the_stream_helper(claude: anthropic.AsyncAnthropic) -> None:
    fields: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": FRANCE}
    async with claude.messages.stream(**fields, extra_body=GREEDY) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    whole = await claude.messages.create(**fields, extra_body=GREEDY)
    assert "".join(texts) == final.content[0].text == PARIS  # type: ignore[union-attr]
    assert final.stop_reason == whole.stop_reason == "end_turn"
    assert final.usage.output_tokens == whole.usage.output_tokens


async def test_why_an_answer_ended(claude: anthropic.AsyncAnthropic) -> None:
    fields: dict[str, Any] = {"model": MODEL, "messages": FRANCE, "extra_body": GREEDY}
    cut = await claude.messages.create(**fields, max_tokens=2)
    assert cut.stop_reason == "max_tokens"
    assert cut.usage.output_tokens == 2
    stopped = await claude.messages.create(**fields, max_tokens=64, stop_sequences=[" is", "x"])
    assert stopped.content[0].text == "The capital of France"
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " is")
    async with claude.messages.stream(**fields, max_tokens=64, stop_sequences=[" is"]) as stream:
        final = await stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", " is")


async def test_a_begun_answer_goes_on(claude: anthropic.AsyncAnthropic) -> None:
    begun: list[MessageParam] = [*FRANCE, {"role": "assistant", "content": "The capital of"}]
    answer = await claude.messages.create(
        model=MODEL, max_tokens=64, messages=begun, extra_body=GREEDY
    )
    assert answer.content[0].text == " France is Paris."  # type: ignore[union-attr]


async def test_system_as_text_and_as_blocks(claude: anthropic.AsyncAnthropic) -> None:
    fields: dict[str, Any] = {"model": MODEL, "messages": FRANCE}
    without = await claude.messages.count_tokens(**fields)
    text = await claude.messages.count_tokens(**fields, system="Be brief.")
    blocks = await claude.messages.count_tokens(
        **fields,
        system=[
            {"type": "text", "text": "Be ", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "brief."},
        ],
    )
    assert without.input_tokens < text.input_tokens == blocks.input_tokens


async def test_parse_into_a_model(claude: anthropic.AsyncAnthropic) -> None:
    answer = await claude.messages.parse(
        model=MODEL, max_tokens=64, messages=FRANCE, output_format=Capital
    )
    assert isinstance(answer.parsed_output, Capital)


@pytest.mark.parametrize(
    ("extra", "status", "kind", "says"),
    [
        ({"model": "nobody"}, 404, "not_found_error", "nobody"),
        ({"max_tokens": None}, 400, "invalid_request_error", "`max_tokens`"),
        ({"max_tokens": 0}, 422, "invalid_request_error", "`max_tokens`"),
        ({"max_tokens": 10**6}, 400, "invalid_request_error", "max_tokens"),
        (
            {"tools": [{"name": "x", "type": "bash_20250124"}]},
            400,
            "invalid_request_error",
            "`tools[0].type`",
        ),
        ({"tool_choice": {"type": "tool"}}, 400, "invalid_request_error", "tool_choice.name"),
        ({"tools": [{"name": "a b"}]}, 400, "invalid_request_error", "`tools[0].name`"),
        ({"thinking": {"type": "enabled"}}, 400, "invalid_request_error", "`thinking`"),
        ({"messages": []}, 422, "invalid_request_error", "`messages`"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            400,
            "invalid_request_error",
            "`messages[0].content[0].type`",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_refused(
    claude: anthropic.AsyncAnthropic,
    extra: dict[str, Any],
    status: int,
    kind: str,
    says: str,
    stream: bool,
) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        await claude.messages.create(
            model=MODEL, max_tokens=64, messages=FRANCE, extra_body={"stream": stream, **extra}
        )
    assert caught.value.status_code == status
    body = caught.value.body
    assert isinstance(body, dict)
    assert body.keys() == {"type", "error"}
    assert body["type"] == "error"
    assert body["error"].keys() == {"type", "message"}
    assert body["error"]["type"] == kind
    assert says in body["error"]["message"]


async def test_an_unknown_path_has_the_same_envelope(claude: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        await claude.messages.batches.list()
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == "not_found_error"


async def test_an_error_in_a_stream() -> None:
    error = ApiError(503, "Gone.", code="service_unavailable")
    assert MessageEvents().error(error) == (
        b'event: error\ndata: {"type":"error",'
        b'"error":{"type":"overloaded_error","message":"Gone."}}\n\n'
    )


@pytest.mark.parametrize(
    ("system", "field", "name"),
    [
        (None, "spec.chat.messages[0].content", "messages[0].content"),
        ("Be", "spec.chat.messages[0].content", "system"),
        ("Be", "spec.chat.messages[1].content", "messages[0].content"),
        ("Be", "chat.messages[1].content", "messages[0].content"),
        (None, "spec.stop.stop_strings[2]", "stop_sequences[2]"),
        (None, "spec.stop.max_tokens", "max_tokens"),
        (None, "spec.grammar.json_schema", "output_config.format.schema"),
    ],
)
async def test_names_of_fields(system: str | None, field: str, name: str) -> None:
    body = MessageRequest.model_validate({"max_tokens": 1, "messages": FRANCE, "system": system})
    assert len(message_spec(body).chat.messages) == 1 + (system is not None)
    assert message_parameter(body, field) == name


WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


async def test_a_tool_is_called(claude: anthropic.AsyncAnthropic) -> None:
    fields: Any = {
        "model": MODEL,
        "max_tokens": 100,
        "messages": FRANCE,
        "tools": [WEATHER],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "extra_body": GREEDY,
    }
    answer = await claude.messages.create(**fields)
    (call,) = answer.content
    assert call.type == "tool_use"
    assert (call.name, list(call.input)) == ("weather", ["city"])
    assert answer.stop_reason == "tool_use"
    async with claude.messages.stream(**fields) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert "input_json" in kinds
    assert final.stop_reason == "tool_use"
    (again,) = final.content
    assert again.type == "tool_use"
    assert (again.name, again.input) == (call.name, call.input)
    # The result goes back, and the conversation goes on.
    followed = await claude.messages.create(
        model=MODEL,
        max_tokens=40,
        tools=[WEATHER],  # type: ignore[list-item]
        messages=[
            *FRANCE,
            {"role": "assistant", "content": [call.model_dump()]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": call.id,
                        "content": [{"type": "text", "text": "Sunny"}],
                    },
                    {"type": "text", "text": "Thanks!"},
                ],
            },
        ],
    )
    assert followed.content


async def test_text_and_calls_in_one_stream() -> None:
    events = MessageEvents()
    out = events.begin(0, GenerationStarted(response_id="1", model_id="m"))
    out += events.delta(0, GenerationDelta(text="Let me see."))
    first = ToolCallDelta(index=0, id="a", name="f")
    out += events.delta(0, GenerationDelta(tool_calls=[first]))
    out += events.delta(0, GenerationDelta(tool_calls=[ToolCallDelta(index=0, arguments="{}")]))
    second = ToolCallDelta(index=1, id="b", name="g", arguments="{}")
    out += events.delta(0, GenerationDelta(tool_calls=[second]))
    reason = FinishReason.FINISH_REASON_TOOL_CALLS
    out += events.finished(0, ChoiceFinished(finish_reason=reason))
    names = [line.removeprefix("event: ") for line in out.decode().splitlines()[::3]]
    assert names == [
        "message_start",
        "ping",
        *("content_block_start", "content_block_delta", "content_block_stop") * 3,
    ]
