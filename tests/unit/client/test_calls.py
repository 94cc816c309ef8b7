"""How calls behave against a real server: answers, timeouts, retries, cancellation, keys."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import pytest

from sterna import AsyncClient, Client, Delta, Finished, Message, Started, Usage
from sterna._channel import service_config
from sterna.errors import (
    CallCancelledError,
    ConflictError,
    DeadlineError,
    LimitError,
    NotSupportedError,
    UnavailableError,
)
from sterna.types import HealthState, ModelState, SearchStarted
from tests.support.flaky_server import MODELS, WORDS, Failure, FlakyServer

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE, "not yet")
ANSWER = "".join(WORDS)

R = TypeVar("R")


async def in_thread(server: FlakyServer, use: Callable[[Client], R]) -> R:
    """Use a blocking client while the server runs on this loop."""

    def work() -> R:
        with Client(server.address, timeout=20, generation_timeout=20) as client:
            return use(client)

    return await asyncio.to_thread(work)


async def test_answers(server: FlakyServer, client: AsyncClient) -> None:
    completion = await client.chat("What is the capital of France?", max_tokens=9)
    assert completion.text == ANSWER
    assert completion.usage.total_token_count == 12
    assert await client.tokenize("ab", add_special_tokens=False) == (97, 98)
    assert await in_thread(server, lambda blocking: blocking.chat("Hi")) == completion
    assert await in_thread(server, lambda blocking: blocking.tokenize("ab")) == (97, 98)


async def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in vars(kind).items()
            if callable(member) and not name.startswith("_")
        }

    assert public(Client) == public(AsyncClient)
    assert Client.generate.__doc__ == AsyncClient.generate.__doc__ != ""


async def test_a_stream_in_order(server: FlakyServer, client: AsyncClient) -> None:
    async with client.stream_chat("Hi") as stream:
        events = [event async for event in stream]
    kinds = [type(event) for event in events]
    assert kinds == [Started, SearchStarted, *[Delta] * len(WORDS), Finished, Usage]

    def read(blocking: Client) -> list[Any]:
        with blocking.stream_generate("Hi") as stream:
            return list(stream)

    assert await in_thread(server, read) == events


async def test_the_text_of_a_stream(server: FlakyServer, client: AsyncClient) -> None:
    stream = client.stream_chat("Hi")
    assert [text async for text in stream.text_stream] == list(WORDS)
    completion = await stream.collect()
    assert completion.text == ANSWER
    assert completion.choices[0].stop_string == "END"
    assert completion.usage.completion_token_count == 5

    def read(blocking: Client) -> tuple[list[str], str]:
        return list(blocking.stream_chat("Hi").text_stream), blocking.stream_chat(
            "Hi"
        ).collect().text

    assert await in_thread(server, read) == (list(WORDS), ANSWER)


async def test_all_pages_are_read(server: FlakyServer, client: AsyncClient) -> None:
    models = await client.list_models()
    assert tuple(model.model_id for model in models) == MODELS
    assert models[0].state is ModelState.LOADED
    assert server.methods == ["ListModels"] * 3
    assert await in_thread(server, lambda blocking: blocking.list_models()) == models


async def test_health(server: FlakyServer, client: AsyncClient) -> None:
    assert await client.health() is HealthState.SERVING
    speech = "sterna.v1.SpeechService"
    assert await client.health(speech) is HealthState.NOT_SERVING
    assert await in_thread(server, lambda b: b.health(speech)) is HealthState.NOT_SERVING


async def test_every_call_has_a_deadline(server: FlakyServer) -> None:
    async with AsyncClient(server.address) as client:
        await client.tokenize("a")
        await client.chat("a")
        await client.stream_chat("a").collect()
        await client.chat("a", timeout=5)
    short, long, streamed, own = (left or 0 for left in server.deadlines)
    assert 20 < short <= 31
    # grpc rounds deadlines up when it sends them.
    assert 500 < long <= 602
    assert 500 < streamed <= 602
    assert 0 < own <= 6


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
async def test_a_timeout_is_positive(client: AsyncClient, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be a positive number of seconds"):
        await client.tokenize("a", timeout=timeout)
    with pytest.raises(ValueError, match="generation_timeout must be a positive number"):
        AsyncClient(generation_timeout=timeout)


async def test_a_late_answer_is_an_error(server: FlakyServer, client: AsyncClient) -> None:
    server.delay = 30
    with pytest.raises(DeadlineError) as caught:
        await client.tokenize("a", timeout=0.2)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(DeadlineError):
        await in_thread(server, lambda blocking: blocking.chat("a", timeout=0.2))
    with pytest.raises(DeadlineError):
        await client.stream_chat("a", timeout=0.2).collect()


async def test_a_unary_call_is_repeated(server: FlakyServer, client: AsyncClient) -> None:
    server.failures.extend([UNAVAILABLE, UNAVAILABLE])
    assert (await client.chat("a")).text == ANSWER
    assert server.methods == ["Generate"] * 3
    server.failures.append(UNAVAILABLE)
    assert await in_thread(server, lambda blocking: blocking.tokenize("a")) == (97,)
    assert server.methods[3:] == ["Tokenize"] * 2


async def test_repeating_ends(server: FlakyServer, client: AsyncClient) -> None:
    server.failures.extend([UNAVAILABLE] * 9)
    with pytest.raises(UnavailableError, match="not yet"):
        await client.tokenize("a")
    assert server.methods == ["Tokenize"] * 4


async def test_only_unavailable_is_repeated(server: FlakyServer, client: AsyncClient) -> None:
    server.failures.append(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full"))
    with pytest.raises(LimitError):
        await client.tokenize("a")
    assert server.methods == ["Tokenize"]


async def test_streams_are_not_repeated(server: FlakyServer, client: AsyncClient) -> None:
    server.failures.append(UNAVAILABLE)
    with pytest.raises(UnavailableError):
        await client.stream_chat("a").collect()
    assert server.methods == ["StreamGenerate"]


async def test_what_would_be_done_twice_is_not_repeated(
    server: FlakyServer, client: AsyncClient
) -> None:
    server.failures.append(UNAVAILABLE)
    with pytest.raises(UnavailableError):
        await client.create_session()
    server.failures.append(UNAVAILABLE)
    with pytest.raises(UnavailableError):
        await client.chat("a", session_id="s")
    assert server.methods == ["CreateSession", "StreamGenerate"]
    assert (await client.chat("a", session_id="s")).text == ANSWER
    in_session = await in_thread(server, lambda blocking: blocking.chat("a", session_id="s"))
    assert in_session.text == ANSWER
    assert server.methods[2:] == ["StreamGenerate"] * 2


async def test_vectors_come_in_parts(server: FlakyServer, client: AsyncClient) -> None:
    # The first attempt finds a server that is not ready.
    server.failures.append(UNAVAILABLE)
    answer = await client.embed(["a", "bb", "ccc"], dimension_count=1)
    assert server.methods == ["StreamEmbed", "StreamEmbed"]
    assert [each.values for each in answer.embeddings] == [(1.0,), (2.0,), (3.0,)]
    assert (answer.model_id, answer.usage.prompt_token_count) == ("tern", 3)
    assert await in_thread(server, lambda blocking: blocking.embed(["a", "bb", "ccc"])) == answer


async def test_vectors_that_break_off(server: FlakyServer, client: AsyncClient) -> None:
    server.part_failures.append(Failure(grpc.StatusCode.ABORTED, "swapped"))
    with pytest.raises(ConflictError, match="swapped"):
        await client.embed(["a", "bb"])
    server.part_failures.append(UNAVAILABLE)
    with pytest.raises(UnavailableError):
        await in_thread(server, lambda blocking: blocking.embed(["a", "bb"]))
    assert server.methods == ["StreamEmbed", "StreamEmbed"]


def test_the_retry_list_names_no_stream_but_embeddings() -> None:
    config = service_config()
    assert '"Generate"' in config
    assert '"StreamEmbed"' in config
    for name in ("StreamGenerate", "PullModel", "Transcribe", "CreateWebhook", "CreateSession"):
        assert f'"{name}"' not in config


async def test_a_stream_that_breaks_says_so(server: FlakyServer, client: AsyncClient) -> None:
    server.delay, server.word_count = 0.01, 10_000
    stream = client.stream_chat("a")
    texts = []
    async for text in stream.text_stream:
        texts.append(text)
        server.failures.append(Failure(grpc.StatusCode.ABORTED, "swapped"))
        break
    with pytest.raises(ConflictError, match="swapped"):
        await stream.collect()
    assert texts == [WORDS[0]]


async def test_leaving_a_stream_cancels_it(server: FlakyServer, client: AsyncClient) -> None:
    server.delay, server.word_count = 0.01, 10_000
    async with client.stream_chat("a") as stream:
        async for event in stream:
            if isinstance(event, Delta):
                break
    await asyncio.wait_for(server.ended.wait(), 5)
    assert server.words_sent < 1000
    # Whoever reads on is told, instead of being given half an answer or a cancelled task.
    with pytest.raises(CallCancelledError):
        await stream.collect()


async def test_leaving_a_blocking_stream_cancels_it(server: FlakyServer) -> None:
    server.delay, server.word_count = 0.01, 10_000

    def read_one(blocking: Client) -> str:
        with blocking.stream_chat("a") as stream:
            first = next(stream.text_stream)
        with pytest.raises(CallCancelledError):
            stream.collect()
        return first

    assert await in_thread(server, read_one) == WORDS[0]
    await asyncio.wait_for(server.ended.wait(), 5)


async def test_cancelling_a_task_cancels_its_call(server: FlakyServer, client: AsyncClient) -> None:
    server.delay, server.word_count = 0.01, 10_000
    task = asyncio.create_task(client.stream_chat("a").collect())
    await asyncio.wait_for(server.began.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.ended.wait(), 5)


async def test_the_key_is_sent_and_not_shown(
    server: FlakyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncClient(server.address, api_key="sk-secret") as client:
        await client.tokenize("a")
        await client.stream_chat("a").collect()
        assert "sk-secret" not in repr(vars(client))
    monkeypatch.setenv("STERNA_API_KEY", "sk-other")
    monkeypatch.setenv("STERNA_ADDRESS", server.address)
    async with AsyncClient() as client:
        await client.tokenize("a")
    keys = [metadata["authorization"] for metadata in server.metadata]
    assert keys == ["Bearer sk-secret"] * 2 + ["Bearer sk-other"]


async def test_a_server_that_is_not_there() -> None:
    # Port 1 is reserved and, without a special server, closed.
    begin = time.monotonic()
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(UnavailableError):
            await client.server_info(timeout=20)
    assert time.monotonic() - begin < 20


def test_an_address_is_not_a_url() -> None:
    with pytest.raises(ValueError, match="host:port or unix:/path, not a URL"):
        Client("http://127.0.0.1:8000")


async def test_an_unknown_rpc(server: FlakyServer, client: AsyncClient) -> None:
    with pytest.raises(NotSupportedError):
        await client.similarities(["a"])


async def test_a_conversation_goes_on(server: FlakyServer, client: AsyncClient) -> None:
    messages: list[Message] = [Message("user", "Hi")]
    messages.append((await client.chat(messages)).message)
    messages.append(Message("user", "And Spain?"))
    await client.chat(messages)
    sent: Any = server.requests[-1]
    texts = [message.content[0].text for message in sent.spec.chat.messages]
    assert texts == ["Hi", ANSWER, "And Spain?"]
