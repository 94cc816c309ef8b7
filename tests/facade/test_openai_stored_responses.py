"""Responses that the server keeps, through the official `openai` package."""

from __future__ import annotations

import itertools
import json
from typing import Any

import grpc
import httpx
import openai
import pytest

from sterna.v1.chat_pb2 import ChatMessage, ChatPrompt, ContentPart, Role
from sterna.v1.generation_pb2 import GenerationSpec
from sterna.v1.inference_pb2 import GenerateRequest
from sterna.v1.inference_pb2_grpc import InferenceServiceStub
from sterna.v1.stored_answer_pb2 import AnswerStorage
from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"
FRANCE = "What is the capital of France?"
ITALY = "And of Italy?"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12, "default": None}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}


async def test_a_response_is_there_as_it_was_given(api: openai.AsyncOpenAI) -> None:
    given = await api.responses.create(
        model=MODEL,
        input=FRANCE,
        instructions="Answer briefly.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=40,
        metadata={"ticket": "7"},
        user="ann",
        tools=[WEATHER],
        tool_choice="none",
        text={"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
        include=["message.output_text.logprobs"],
        top_logprobs=1,
    )
    assert given.to_dict()["store"] is True
    found = await api.responses.retrieve(given.id)
    assert found.to_dict() == given.to_dict()


async def test_what_was_streamed_is_there_too(api: openai.AsyncOpenAI) -> None:
    stream = await api.responses.create(model=MODEL, input=FRANCE, temperature=0, stream=True)
    last: Any = [event async for event in stream][-1]
    assert last.type == "response.completed"
    found = await api.responses.retrieve(last.response.id)
    assert found.to_dict() == last.response.to_dict()


async def test_a_conversation_goes_on_without_being_sent_again(api: openai.AsyncOpenAI) -> None:
    first = await api.responses.create(model=MODEL, input=FRANCE, temperature=0)
    second = await api.responses.create(
        model=MODEL, input=ITALY, previous_response_id=first.id, temperature=0
    )
    assert second.previous_response_id == first.id
    whole = await api.responses.create(
        model=MODEL,
        input=[
            {"role": "user", "content": FRANCE},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": ITALY},
        ],
        temperature=0,
        store=False,
    )
    assert whole.output_text == second.output_text
    assert whole.usage is not None
    assert second.usage is not None
    assert whole.usage.input_tokens == second.usage.input_tokens
    stream = await api.responses.create(
        model=MODEL, input=ITALY, previous_response_id=first.id, temperature=0, stream=True
    )
    last: Any = [event async for event in stream][-1]
    assert last.response.output_text == second.output_text


async def test_a_growing_chain_is_found_in_the_prefix_cache(api: openai.AsyncOpenAI) -> None:
    cached: list[int] = []
    sent: list[int] = []
    previous: str | None = None
    for number in range(4):
        answer = await api.responses.create(
            model=MODEL,
            input=f"Please tell me a story that I never heard before, the one of number {number}.",
            previous_response_id=previous,
            max_output_tokens=40,
        )
        previous = answer.id
        assert answer.usage is not None
        cached.append(answer.usage.input_tokens_details.cached_tokens)
        sent.append(answer.usage.input_tokens)
    assert all(before < after for before, after in itertools.pairwise(cached)), cached
    for turn in range(1, 4):
        assert cached[turn] > sent[turn - 1] - 32, (cached, sent)


async def test_instructions_are_not_inherited(api: openai.AsyncOpenAI) -> None:
    first = await api.responses.create(
        model=MODEL, input=FRANCE, instructions="Answer briefly.", temperature=0
    )
    second = await api.responses.create(
        model=MODEL, input=ITALY, previous_response_id=first.id, temperature=0
    )
    assert second.instructions is None
    plain = await api.responses.create(
        model=MODEL,
        input=[
            {"role": "user", "content": FRANCE},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": ITALY},
        ],
        store=False,
    )
    assert second.usage is not None
    assert plain.usage is not None
    assert second.usage.input_tokens == plain.usage.input_tokens


async def test_a_tool_loop_over_stored_responses(api: openai.AsyncOpenAI) -> None:
    first = await api.responses.create(
        model=MODEL,
        input="Weather in Rome?",
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    )
    call: Any = first.output[0]
    assert call.type == "function_call"
    second = await api.responses.create(
        model=MODEL,
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}],
        max_output_tokens=40,
    )
    items = [item async for item in api.responses.input_items.list(second.id, order="asc")]
    assert [item.type for item in items] == ["message", "function_call", "function_call_output"]
    seen: Any = items[1]
    assert (seen.call_id, json.loads(seen.arguments)) == (call.call_id, json.loads(call.arguments))


async def test_the_items_of_a_conversation(api: openai.AsyncOpenAI) -> None:
    previous: str | None = None
    said: list[str] = []
    for text in ("One", "Two", "Three"):
        answer = await api.responses.create(
            model=MODEL, input=text, previous_response_id=previous, max_output_tokens=4
        )
        said += [text, answer.output_text]
        previous = answer.id
    assert previous is not None
    pages = api.responses.input_items.list(previous, order="asc", limit=2)
    items: list[Any] = [item async for item in pages]
    assert [item.content[0].text for item in items] == said[:-1]
    assert [item.role for item in items] == ["user", "assistant"] * 2 + ["user"]
    assert len({item.id for item in items}) == 5
    newest: list[Any] = [item async for item in api.responses.input_items.list(previous)]
    assert newest == items[::-1]
    page: Any = await api.responses.input_items.list(previous, order="asc", limit=2)
    assert page.has_more
    assert (page.first_id, page.last_id) == (items[0].id, items[1].id)
    # They can be sent as they are.
    again = await api.responses.create(
        model=MODEL, input=[item.to_dict() for item in items], store=False, max_output_tokens=2
    )
    assert again.output_text


async def test_a_deleted_response_is_gone(api: openai.AsyncOpenAI) -> None:
    first = await api.responses.create(model=MODEL, input="Hi", max_output_tokens=4)
    second = await api.responses.create(
        model=MODEL, input="Hi", previous_response_id=first.id, max_output_tokens=4
    )
    await api.responses.delete(first.id)
    for work in (
        api.responses.retrieve(first.id),
        api.responses.delete(first.id),
        api.responses.input_items.list(first.id),
    ):
        with pytest.raises(openai.NotFoundError, match="There is no stored response") as caught:
            await work
        assert caught.value.code == "response_not_found"
    for stream in (False, True):
        for previous in (first.id, second.id):
            with pytest.raises(openai.BadRequestError) as refused:
                await api.responses.create(
                    model=MODEL, input="Hi", previous_response_id=previous, stream=stream
                )
            assert refused.value.code == "previous_response_not_found"
            assert refused.value.param == "previous_response_id"


async def test_nothing_is_kept_that_must_not_be(api: openai.AsyncOpenAI) -> None:
    answer = await api.responses.create(model=MODEL, input="Hi", store=False, max_output_tokens=4)
    assert answer.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError):
        await api.responses.retrieve(answer.id)


async def test_what_is_refused(live: Live, api: openai.AsyncOpenAI) -> None:
    answer = await api.responses.create(model=MODEL, input="Hi", max_output_tokens=2)
    async with httpx.AsyncClient(timeout=30, base_url=f"{live.url}/v1/responses") as client:
        for path, status, param in (
            (f"{answer.id}?stream=true", 400, "stream"),
            (f"{answer.id}/input_items?after=msg_1", 400, "after"),
            (f"{answer.id}/input_items?limit=0", 422, "limit"),
            (f"{answer.id}/input_items?limit=101", 422, "limit"),
            (f"{answer.id}/input_items?order=up", 422, "order"),
        ):
            refused = await client.get(f"/{path}")
            assert (refused.status_code, refused.json()["error"]["param"]) == (status, param)


async def test_what_other_clients_stored_can_be_seen(live: Live, api: openai.AsyncOpenAI) -> None:
    """An answer that was stored through gRPC has no request of this API to repeat."""
    message = ChatMessage(role=Role.ROLE_USER, content=[ContentPart(text=FRANCE)])
    spec = GenerationSpec(chat=ChatPrompt(messages=[message]), storage=AnswerStorage(store=True))
    async with grpc.aio.insecure_channel(live.core_address) as channel:
        stub: Any = InferenceServiceStub(channel)
        answer = await stub.Generate(GenerateRequest(spec=spec), timeout=30)
    found = await api.responses.retrieve(f"resp_{answer.response_id}")
    assert found.output_text == answer.choices[0].text
    followed = await api.responses.create(
        model=MODEL, input=ITALY, previous_response_id=found.id, max_output_tokens=4
    )
    assert followed.previous_response_id == found.id


async def test_items_that_are_only_named(api: openai.AsyncOpenAI) -> None:
    first = await api.responses.create(
        model=MODEL,
        input="Weather in Rome?",
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    )
    call: Any = first.output[0]
    (asked,) = [item async for item in api.responses.input_items.list(first.id)]
    result: Any = {
        "type": "function_call_output",
        "call_id": call.call_id,
        "output": "Sunny",
    }
    named: Any = [{"type": "item_reference", "id": each.id} for each in (asked, call)]
    sent: Any = [{"role": "user", "content": "Weather in Rome?"}, call.to_dict()]
    answers = [
        await api.responses.create(
            model=MODEL, input=[*items, result], temperature=0, max_output_tokens=20
        )
        for items in (named, sent)
    ]
    assert answers[0].output_text == answers[1].output_text
    assert answers[0].usage is not None
    assert answers[1].usage is not None
    assert answers[0].usage.input_tokens == answers[1].usage.input_tokens


@pytest.mark.parametrize("item_id", ["msg_1", f"msg_{'0' * 32}", "x", "fc_\n"])
async def test_items_that_are_not_kept(api: openai.AsyncOpenAI, item_id: str) -> None:
    reference: Any = {"type": "item_reference", "id": item_id}
    with pytest.raises(openai.NotFoundError) as caught:
        await api.responses.create(model=MODEL, input=[reference])
    assert (caught.value.code, caught.value.param) == ("item_not_found", "input[0].id")
