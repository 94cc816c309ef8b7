"""Conversations that the core keeps, over real gRPC."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import duration_pb2

from sterna.v1 import chat_pb2, generation_pb2, inference_pb2, session_pb2
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


async def create(core: CoreClient, session_id: str = "", **fields: object) -> session_pb2.Session:
    request = inference_pb2.CreateSessionRequest(session_id=session_id, **fields)  # type: ignore[arg-type]
    return (await core.inference.CreateSession(request, timeout=PATIENCE)).session


async def get(core: CoreClient, session_id: str) -> inference_pb2.GetSessionResponse:
    request = inference_pb2.GetSessionRequest(session_id=session_id, include_messages=True)
    return await core.inference.GetSession(request, timeout=PATIENCE)


async def delete(core: CoreClient, session_id: str) -> None:
    request = inference_pb2.DeleteSessionRequest(session_id=session_id)
    await core.inference.DeleteSession(request, timeout=PATIENCE)


async def texts(core: CoreClient, session_id: str) -> list[tuple[int, str]]:
    messages = (await get(core, session_id)).messages
    return [(each.role, "".join(part.text for part in each.content)) for each in messages]


async def test_a_session_from_beginning_to_end(core: CoreClient) -> None:
    made = await create(core)
    assert len(made.session_id) == 36
    assert (made.message_count, made.model_id) == (0, "")
    question = "What is the capital of France?"
    answer = await core.generate(chat(question, session_id=made.session_id))
    assert answer.session_id == made.session_id
    said = answer.choices[0].text
    assert await texts(core, made.session_id) == [
        (chat_pb2.ROLE_USER, question),
        (chat_pb2.ROLE_ASSISTANT, said),
    ]
    kept = (await get(core, made.session_id)).session
    assert kept.message_count == 2
    assert kept.create_time == made.create_time
    assert kept.update_time.ToDatetime() > made.update_time.ToDatetime()
    assert kept.expire_time.ToDatetime() > made.expire_time.ToDatetime()
    await delete(core, made.session_id)
    refused = await refusal(get(core, made.session_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    assert refused.metadata == {"session": made.session_id}


async def test_it_answers_as_if_the_whole_conversation_had_been_sent(core: CoreClient) -> None:
    turns = ["What is the capital of France?", "And of Italy?", "Thank you."]
    await create(core, "s")
    history: list[str] = []
    for text in turns:
        greedy = generation_pb2.SamplingParams(temperature=0)
        stored = await core.generate(chat(text, session_id="s", sampling=greedy))
        whole = await core.generate(chat(*history, text, sampling=greedy))
        assert stored.choices == whole.choices
        assert stored.usage.prompt_token_count == whole.usage.prompt_token_count
        history += [text, whole.choices[0].text]
    assert [text for _, text in await texts(core, "s")] == history


async def test_a_growing_session_is_found_in_the_prefix_cache(core: CoreClient) -> None:
    system = chat_pb2.ChatMessage(
        role=chat_pb2.ROLE_SYSTEM, content=[chat_pb2.ContentPart(text="You are brief and kind.")]
    )
    await create(core, "s", messages=[system])
    cached: list[int] = []
    prompt: list[int] = []
    for index in range(5):
        text = f"Please tell me the next story that you know, which is number {index}."
        events = core.stream(chat(text, session_id="s", stop=STOP(max_tokens=48)))
        started = [each.started async for each in events if each.HasField("started")]
        assert started[0].session_id == "s"
        cached.append(started[0].cached_token_count)
        prompt.append(started[0].prompt_token_count)
    assert all(before < after for before, after in itertools.pairwise(cached)), cached
    # All of the previous turn is there, up to the block that it shares with the present one.
    for turn in range(1, 5):
        assert cached[turn] > prompt[turn - 1] - 32, (cached, prompt)


async def test_sessions_survive_the_server(home: Path, database_url: str) -> None:
    async with running_core(CoreOptions(home=home, port=0, database_url=database_url)) as core:
        await create(core, "kept", messages=chat("Hello!").chat.messages)
        answer = await core.generate(chat("Who are you?", session_id="kept"))
    async with running_core(CoreOptions(home=home, port=0, database_url=database_url)) as core:
        assert [text for _, text in await texts(core, "kept")] == [
            "Hello!",
            "Who are you?",
            answer.choices[0].text,
        ]


async def test_a_damaged_database_keeps_the_server_from_starting(home: Path) -> None:
    path = home / "state.db"
    path.write_bytes(b"\x00not a database" * 1000)
    with pytest.raises(StartupError, match="move the file away"):
        await start_core(CoreOptions(home=home, port=0))
    path.unlink()
    async with running_core(CoreOptions(home=home, port=0)) as core:
        await create(core, "s")


async def test_a_home_that_cannot_be_written_keeps_sessions_in_memory(home: Path) -> None:
    (home / "state.db").mkdir()
    async with running_core(CoreOptions(home=home, port=0)) as core:
        await create(core, "s")
        await core.generate(chat("Hi", session_id="s", stop=STOP(max_tokens=4)))
        assert len(await texts(core, "s")) == 2


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e12, float("nan")])
async def test_a_default_life_that_makes_no_sense(home: Path, seconds: float) -> None:
    with pytest.raises(StartupError, match="session_ttl_seconds must be 1 to 315360000"):
        await start_core(CoreOptions(home=home, port=0, session_ttl_seconds=seconds))


async def test_a_cancelled_call_leaves_the_session_as_it_was(
    home: Path, endless_model: str
) -> None:
    async with running_core(CoreOptions(home=home, port=0, model=endless_model)) as core:
        await create(core, "s", messages=chat("Hello!").chat.messages)
        before = await get(core, "s")
        call = core.stream(endless_answer(session_id="s"))
        async for event in call:
            if event.HasField("delta"):
                break
        busy = await refusal(core.generate(chat("Hi", session_id="s", stop=STOP(max_tokens=1))))
        assert (busy.code, busy.reason) == (grpc.StatusCode.ABORTED, "SESSION_BUSY")
        assert busy.metadata == {"session": "s"}
        assert (await refusal(delete(core, "s"))).reason == "SESSION_BUSY"
        call.cancel()

        async def free() -> bool:
            try:
                await delete(core, "s")
            except grpc.aio.AioRpcError as error:
                return error.code() != grpc.StatusCode.ABORTED
            return True

        assert await get(core, "s") == before
        await eventually(free)


async def test_a_failed_call_leaves_the_session_as_it_was(core: CoreClient) -> None:
    await create(core, "s")
    for spec in (
        chat("Hi", session_id="s", stop=STOP(max_tokens=100_000)),
        chat("Hi", session_id="s", model_id="nothing"),
        chat("Hi", session_id="s", grammar=generation_pb2.OutputGrammar(regex="(")),
    ):
        await refusal(core.generate(spec))
    assert await texts(core, "s") == []
    await core.generate(chat("Hi", session_id="s", stop=STOP(max_tokens=4)))
    assert len(await texts(core, "s")) == 2


async def test_a_client_may_go_on_as_soon_as_it_saw_the_usage(core: CoreClient) -> None:
    await create(core, "s")
    for turn in range(1, 6):
        call = core.stream(chat("Hi", session_id="s", stop=STOP(max_tokens=3)))
        async for event in call:
            if event.HasField("usage"):
                break
        # The call itself has not ended yet.
        assert (await get(core, "s")).session.message_count == 2 * turn


async def test_only_one_of_many_calls_gets_the_session(core: CoreClient) -> None:
    await create(core, "s")
    calls = [
        core.generate(chat("Hi", session_id="s", stop=STOP(max_tokens=64, ignore_eos=True)))
        for _ in range(4)
    ]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    refused = [each for each in ended if isinstance(each, grpc.aio.AioRpcError)]
    assert len(refused) == 3
    assert {each.code() for each in refused} == {grpc.StatusCode.ABORTED}
    assert len(await texts(core, "s")) == 2


async def test_an_answer_that_is_continued_stays_one_message(core: CoreClient) -> None:
    await create(core, "s")
    spec = chat("What is the capital of France?", "The capital of", session_id="s")
    spec.chat.continue_final_message = True
    answer = await core.generate(spec)
    stored = await texts(core, "s")
    assert stored[1:] == [(chat_pb2.ROLE_ASSISTANT, "The capital of" + answer.choices[0].text)]


async def test_the_model_of_a_session(core: CoreClient) -> None:
    made = await create(core, "s", model_id="tern-nano")
    assert made.model_id == "sterna/tern-nano"
    refused = await refusal(create(core, "t", model_id="nothing"))
    assert refused.reason == "MODEL_NOT_FOUND"
    answer = await core.generate(chat("Hi", session_id="s", stop=STOP(max_tokens=2)))
    assert answer.model_id == "sterna/tern-nano"


async def test_pages_of_sessions(core: CoreClient) -> None:
    for index in range(5):
        await create(core, f"s{index}")
    await core.generate(chat("Hi", session_id="s2", stop=STOP(max_tokens=2)))
    names: list[str] = []
    token = ""
    for size in (2, 2, 2):
        request = inference_pb2.ListSessionsRequest(page_size=size, page_token=token)
        page = await core.inference.ListSessions(request, timeout=PATIENCE)
        names += [each.session_id for each in page.sessions]
        token = page.next_page_token
    assert names == ["s2", "s4", "s3", "s1", "s0"]
    assert token == ""
    for field, request in (
        ("page_size", inference_pb2.ListSessionsRequest(page_size=-1)),
        ("page_token", inference_pb2.ListSessionsRequest(page_token="?")),
        ("page_token", inference_pb2.ListSessionsRequest(page_token="YWJj")),
        # A moment and U+0000, which PostgreSQL does not know.
        ("page_token", inference_pb2.ListSessionsRequest(page_token="MTc2NzIyNTYwMDAwMDAwMCAA")),
    ):
        refused = await refusal(core.inference.ListSessions(request, timeout=PATIENCE))
        assert refused.fields == [field]


async def test_what_is_refused(core: CoreClient) -> None:
    await create(core, "s")
    taken = await refusal(create(core, "s"))
    assert (taken.code, taken.reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "SESSION_ALREADY_EXISTS",
    )
    assert (await refusal(create(core, "no spaces"))).fields == ["session_id"]
    ttl = duration_pb2.Duration(seconds=-5)
    assert (await refusal(create(core, "t", ttl=ttl))).fields == ["ttl"]
    nobody = chat_pb2.ChatMessage(content=[chat_pb2.ContentPart(text="Hi")])
    assert (await refusal(create(core, "t", messages=[nobody]))).fields == ["messages[0].role"]
    missing = await refusal(core.generate(chat("Hi", session_id="t")))
    assert missing.reason == "SESSION_NOT_FOUND"
    text = generation_pb2.GenerationSpec(text=generation_pb2.TextPrompt(text="Hi"), session_id="s")
    assert (await refusal(core.generate(text))).fields == ["spec.session_id"]
    two = chat("Hi", session_id="s", choice_count=2)
    assert (await refusal(core.generate(two))).fields == ["spec.choice_count"]
    assert (await refusal(core.generate(chat(session_id="s")))).fields == ["spec.chat.messages"]


async def test_a_session_expires(core: CoreClient) -> None:
    made = await create(core, "s", ttl=duration_pb2.Duration(nanos=1_000_000))
    life = made.expire_time.ToNanoseconds() - made.create_time.ToNanoseconds()
    assert life == 1_000_000

    async def gone() -> bool:
        try:
            await get(core, "s")
        except grpc.aio.AioRpcError as error:
            return error.code() == grpc.StatusCode.NOT_FOUND
        return False

    await eventually(gone)
