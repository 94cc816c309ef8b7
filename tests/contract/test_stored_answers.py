"""Answers that the core keeps, and what follows them, over real gRPC."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2

import sterna
from sterna.errors import NotFoundError
from sterna.v1 import chat_pb2, generation_pb2, inference_pb2, stored_answer_pb2
from sterna_service.app import CoreOptions, start_core
from sterna_service.errors import StartupError
from tests.support.core import (
    PATIENCE,
    CoreClient,
    chat,
    endless_answer,
    eventually,
    refusal,
    running_core,
)

STOP = generation_pb2.StopCriteria
GREEDY = generation_pb2.SamplingParams(temperature=0)


@pytest.fixture
def home(sterna_home: Path, tmp_path: Path) -> Path:
    """A home with a database of its own and the packed models of all."""
    bundles = sterna_home / "bundles"
    bundles.mkdir(exist_ok=True)
    (tmp_path / "bundles").symlink_to(bundles)
    return tmp_path


@pytest.fixture
async def core(home: Path, database_url: str) -> AsyncIterator[CoreClient]:
    async with running_core(CoreOptions(home=home, port=0, database_url=database_url)) as client:
        yield client


def storage(previous: str = "", **fields: Any) -> stored_answer_pb2.AnswerStorage:
    return stored_answer_pb2.AnswerStorage(store=True, previous_response_id=previous, **fields)


def asked(text: str, previous: str = "", **fields: Any) -> generation_pb2.GenerationSpec:
    return chat(text, storage=storage(previous), sampling=GREEDY, **fields)


async def get(
    core: CoreClient, response_id: str, include_previous: bool = False
) -> inference_pb2.GetAnswerResponse:
    request = inference_pb2.GetAnswerRequest(
        response_id=response_id, include_previous=include_previous
    )
    return await core.inference.GetAnswer(request, timeout=PATIENCE)


async def delete(core: CoreClient, response_id: str) -> None:
    request = inference_pb2.DeleteAnswerRequest(response_id=response_id)
    await core.inference.DeleteAnswer(request, timeout=PATIENCE)


async def test_an_answer_from_beginning_to_end(core: CoreClient) -> None:
    spec = chat(
        "What is the capital of France?",
        storage=storage(document='{"own": true}'),
        logprobs=generation_pb2.LogprobOptions(top_count=1),
    )
    answer = await core.generate(spec)
    kept = (await get(core, answer.response_id)).answer
    assert kept.response_id == answer.response_id
    assert kept.create_time == answer.create_time
    assert kept.model_id == answer.model_id
    assert (kept.choice, kept.usage) == (answer.choices[0], answer.usage)
    assert list(kept.messages) == list(spec.chat.messages)
    assert kept.document == '{"own": true}'
    assert kept.previous_response_id == ""
    days = kept.expire_time.seconds - kept.create_time.seconds
    assert abs(days - 30 * 86400) < PATIENCE
    await delete(core, answer.response_id)
    refused = await refusal(get(core, answer.response_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "ANSWER_NOT_FOUND")
    assert refused.metadata == {"response": answer.response_id}
    assert (await refusal(delete(core, answer.response_id))).reason == "ANSWER_NOT_FOUND"


async def test_it_answers_as_if_the_whole_conversation_had_been_sent(core: CoreClient) -> None:
    previous = ""
    history: list[str] = []
    for text in ("What is the capital of France?", "And of Italy?", "Thank you."):
        stored = await core.generate(asked(text, previous))
        whole = await core.generate(chat(*history, text, sampling=GREEDY))
        assert stored.choices == whole.choices
        assert stored.usage.prompt_token_count == whole.usage.prompt_token_count
        previous = stored.response_id
        history += [text, whole.choices[0].text]
    found = await get(core, previous, include_previous=True)
    said = [
        text
        for each in (*found.previous, found.answer)
        for text in (each.messages[0].content[0].text, each.choice.text)
    ]
    assert said == history


async def test_two_answers_may_follow_one(core: CoreClient) -> None:
    first = await core.generate(asked("What is the capital of France?"))
    same = [await core.generate(asked("And of Italy?", first.response_id)) for _ in range(2)]
    assert same[0].choices == same[1].choices
    assert same[0].response_id != same[1].response_id


async def test_instructions_hold_for_one_call(core: CoreClient) -> None:
    system = chat_pb2.ChatMessage(
        role=chat_pb2.ROLE_SYSTEM, content=[chat_pb2.ContentPart(text="You are brief and kind.")]
    )
    told = await core.generate(
        chat("Hi", storage=storage(instructions=system.content[0].text), sampling=GREEDY)
    )
    whole = chat("Hi", sampling=GREEDY)
    whole.chat.messages.insert(0, system)
    assert (await core.generate(whole)).usage.prompt_token_count == told.usage.prompt_token_count
    followed = await core.generate(asked("Bye", told.response_id))
    plain = await core.generate(chat("Hi", told.choices[0].text, "Bye", sampling=GREEDY))
    assert followed.usage.prompt_token_count == plain.usage.prompt_token_count


async def test_a_growing_chain_is_found_in_the_prefix_cache(core: CoreClient) -> None:
    cached: list[int] = []
    prompt: list[int] = []
    previous = ""
    for index in range(5):
        text = f"Please tell me the next story that you know, which is number {index}."
        answer = await core.generate(asked(text, previous, stop=STOP(max_tokens=48)))
        previous = answer.response_id
        cached.append(answer.usage.cached_token_count)
        prompt.append(answer.usage.prompt_token_count)
    assert all(before < after for before, after in itertools.pairwise(cached)), cached
    # All of the previous turn is there, up to the block that it shares with the present one.
    for turn in range(1, 5):
        assert cached[turn] > prompt[turn - 1] - 32, (cached, prompt)


async def test_answers_survive_the_server(home: Path) -> None:
    async with running_core(CoreOptions(home=home, port=0)) as core:
        first = await core.generate(asked("What is the capital of France?"))
    async with running_core(CoreOptions(home=home, port=0)) as core:
        await core.generate(asked("And of Italy?", first.response_id))
        assert (await get(core, first.response_id)).answer.choice == first.choices[0]


async def test_what_follows_a_deleted_answer_cannot_be_continued(core: CoreClient) -> None:
    first = await core.generate(asked("Hi"))
    second = await core.generate(asked("Hello", first.response_id))
    await delete(core, first.response_id)
    found = await get(core, second.response_id, include_previous=True)
    assert found.answer.choice == second.choices[0]
    assert not found.previous
    refused = await refusal(core.generate(asked("Bye", second.response_id)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "ANSWER_NOT_FOUND")
    assert refused.metadata == {"response": first.response_id}


async def test_nothing_is_stored_unless_asked_and_complete(home: Path, endless_model: str) -> None:
    async with running_core(CoreOptions(home=home, port=0, model=endless_model)) as core:
        spec = chat("Hi", storage=stored_answer_pb2.AnswerStorage(), stop=STOP(max_tokens=2))
        unasked = await core.generate(spec)
        assert (await refusal(get(core, unasked.response_id))).reason == "ANSWER_NOT_FOUND"
        call = core.stream(endless_answer(storage=storage()))
        response_id = ""
        async for event in call:
            if event.HasField("started"):
                response_id = event.started.response_id
                break
        call.cancel()

        async def idle() -> bool:
            engine = await core.engine()
            return not engine.running_count

        await eventually(idle)
        assert (await refusal(get(core, response_id))).reason == "ANSWER_NOT_FOUND"


async def test_an_answer_is_there_as_soon_as_the_usage_was_seen(core: CoreClient) -> None:
    response_id = ""
    async for event in core.stream(asked("Hi", stop=STOP(max_tokens=3))):
        if event.HasField("started"):
            response_id = event.started.response_id
        if event.HasField("usage"):
            break
    assert (await get(core, response_id)).answer.choice.text


async def test_the_model_that_answered_goes_on(core: CoreClient) -> None:
    first = await core.generate(asked("Hi", model_id="tern-nano"))
    second = await core.generate(asked("Hi", first.response_id))
    assert second.model_id == first.model_id == "sterna/tern-nano"


async def test_calls_are_kept_and_answered(core: CoreClient) -> None:
    tool = chat_pb2.Tool(
        name="weather",
        parameters_schema='{"type":"object","properties":{"city":{"enum":["Rome"]}},'
        '"required":["city"]}',
        strict=True,
    )
    spec = asked("Weather in Rome?")
    spec.chat.tools.append(tool)
    spec.chat.tool_choice.mode = chat_pb2.ToolChoice.MODE_REQUIRED
    spec.chat.parallel_tool_calls = False
    called = await core.generate(spec)
    (call,) = called.choices[0].tool_calls
    assert list((await get(core, called.response_id)).answer.choice.tool_calls) == [call]
    result = generation_pb2.GenerationSpec(storage=storage(called.response_id), sampling=GREEDY)
    result.chat.messages.append(
        chat_pb2.ChatMessage(
            role=chat_pb2.ROLE_TOOL,
            tool_call_id=call.id,
            content=[chat_pb2.ContentPart(text="Sunny")],
        )
    )
    followed = await core.generate(result)
    whole = generation_pb2.GenerationSpec(sampling=GREEDY)
    whole.chat.messages.extend(
        [
            spec.chat.messages[0],
            chat_pb2.ChatMessage(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[call]),
            result.chat.messages[0],
        ]
    )
    assert (await core.generate(whole)).choices == followed.choices


async def test_what_is_refused(core: CoreClient) -> None:
    text = generation_pb2.GenerationSpec(
        text=generation_pb2.TextPrompt(text="Hi"), storage=storage()
    )
    assert (await refusal(core.generate(text))).fields == ["spec.storage"]
    for spec, field in (
        (asked("Hi", session_id="s"), "spec.storage"),
        (asked("Hi", choice_count=2), "spec.choice_count"),
        (chat(storage=storage()), "spec.chat.messages"),
        (chat("Hi", storage=storage(document="x" * 2**20 + "x")), "spec.storage.document"),
        (chat("Hi", storage=storage(document="a\0b")), "spec.storage.document"),
        (
            chat("Hi", storage=storage(ttl=duration_pb2.Duration(seconds=-1))),
            "spec.storage.ttl",
        ),
    ):
        assert (await refusal(core.generate(spec))).fields == [field]
    assert (await refusal(get(core, ""))).fields == ["response_id"]
    assert (await refusal(delete(core, ""))).fields == ["response_id"]
    for unknown in ("0" * 32, "a' OR 1=1", "x" * 5000):
        assert (await refusal(get(core, unknown))).reason == "ANSWER_NOT_FOUND"
        assert (await refusal(core.generate(asked("Hi", unknown)))).reason == "ANSWER_NOT_FOUND"


async def test_an_answer_expires(core: CoreClient) -> None:
    ttl = duration_pb2.Duration(nanos=1_000_000)
    answer = await core.generate(chat("Hi", storage=storage(ttl=ttl), stop=STOP(max_tokens=2)))

    async def gone() -> bool:
        try:
            await get(core, answer.response_id)
        except grpc.aio.AioRpcError as error:
            return error.code() == grpc.StatusCode.NOT_FOUND
        return False

    await eventually(gone)


@pytest.mark.parametrize("seconds", [0.0, 1e12, float("nan")])
async def test_a_default_life_that_makes_no_sense(home: Path, seconds: float) -> None:
    with pytest.raises(StartupError, match="answer_ttl_seconds must be 1 to 315360000"):
        await start_core(CoreOptions(home=home, port=0, answer_ttl_seconds=seconds))


async def test_through_the_client(core: CoreClient) -> None:
    async with sterna.AsyncClient(core.core.address) as client:
        first = await client.chat("What is the capital of France?", store=True, temperature=0)
        second = await client.chat(
            "And of Italy?", store=True, previous_response_id=first.response_id, max_tokens=8
        )
        kept = await client.get_answer(second.response_id)
        assert [each.response_id for each in kept] == [first.response_id, second.response_id]
        assert kept[0].choice == first.choices[0]
        assert kept[0].messages == (sterna.Message("user", "What is the capital of France?"),)
        assert kept[1].previous_response_id == first.response_id
        await client.delete_answer(second.response_id)
        with pytest.raises(NotFoundError) as caught:
            await client.get_answer(second.response_id)
    assert caught.value.reason == "ANSWER_NOT_FOUND"
