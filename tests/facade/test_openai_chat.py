"""Chat through the official `openai` package, against the real core and the embedded model."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"
FRANCE: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the capital of France?"}
]
PARIS = "The capital of France is Paris."


async def test_an_answer(api: openai.AsyncOpenAI) -> None:
    answer = await api.chat.completions.create(model=MODEL, messages=FRANCE, temperature=0)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == MODEL
    assert [c.message.content for c in answer.choices] == [PARIS]
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == usage.model_extra["cached_tokens"]  # type: ignore[index]


async def test_a_stream_says_the_same(api: openai.AsyncOpenAI) -> None:
    stream = await api.chat.completions.create(
        model=MODEL,
        messages=FRANCE,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    deltas = [c.choices[0] for c in chunks[:-1]]
    assert deltas[0].delta.role == "assistant"
    assert "".join(c.delta.content or "" for c in deltas) == PARIS
    assert [c.finish_reason for c in deltas] == [None] * (len(deltas) - 1) + ["stop"]
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert all(c.usage is None for c in chunks[:-1])
    whole = await api.chat.completions.create(model=MODEL, messages=FRANCE, temperature=0)
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


async def test_the_streaming_helper_understands_it(api: openai.AsyncOpenAI) -> None:
    async with api.chat.completions.stream(model=MODEL, messages=FRANCE, temperature=0) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == PARIS


async def test_the_synchronous_client(live: Live) -> None:
    def chat() -> tuple[str | None, str]:
        with openai.OpenAI(base_url=f"{live.url}/v1", api_key="unused", max_retries=0) as client:
            whole = client.chat.completions.create(model="", messages=FRANCE, temperature=0)
            stream = client.chat.completions.create(
                model="", messages=FRANCE, temperature=0, stream=True
            )
            text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
            return whole.choices[0].message.content, text

    assert await asyncio.to_thread(chat) == (PARIS, PARIS)


async def test_roles_and_parts(api: openai.AsyncOpenAI) -> None:
    parts: list[ChatCompletionMessageParam] = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is the capital "},
                {"type": "text", "text": "of France?"},
            ],
        },
    ]
    joined: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    answers = [
        await api.chat.completions.create(model=MODEL, messages=m, temperature=0, max_tokens=20)
        for m in (parts, joined)
    ]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content
    assert answers[0].usage is not None
    assert answers[1].usage is not None
    assert answers[0].usage.prompt_tokens == answers[1].usage.prompt_tokens


@pytest.mark.parametrize("stream", [False, True])
async def test_several_choices_with_a_seed(api: openai.AsyncOpenAI, stream: bool) -> None:
    story: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Tell me a story."}]

    async def texts(n: int, seed: int) -> list[str]:
        settings: dict[str, Any] = {
            "model": MODEL, "messages": story, "n": n, "seed": seed, "temperature": 1.5,
            "max_completion_tokens": 24,
        }  # fmt: skip
        result = [""] * n
        if stream:
            async for chunk in await api.chat.completions.create(**settings, stream=True):
                for choice in chunk.choices:
                    result[choice.index] += choice.delta.content or ""
        else:
            answer = await api.chat.completions.create(**settings)
            for choice in answer.choices:
                result[choice.index] = choice.message.content or ""
        return result

    three = await texts(3, 7)
    assert len(set(three)) == 3, "samples of one prompt differ"
    assert await texts(3, 7) == three
    assert await texts(1, 8) == three[1:2], "choice i samples with seed + i"


@pytest.mark.parametrize("stream", [False, True])
async def test_max_tokens_is_told_as_length(api: openai.AsyncOpenAI, stream: bool) -> None:
    settings: dict[str, Any] = {"model": MODEL, "messages": FRANCE, "max_tokens": 2}
    if stream:
        chunks = [c async for c in await api.chat.completions.create(**settings, stream=True)]
        assert chunks[-1].choices[0].finish_reason == "length"
    else:
        answer = await api.chat.completions.create(**settings)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 2


@pytest.mark.parametrize("stop", [" Paris", [" Paris"], ["x y z", "Paris"]])
@pytest.mark.parametrize("stream", [False, True])
async def test_stop_strings(api: openai.AsyncOpenAI, stop: Any, stream: bool) -> None:
    settings: dict[str, Any] = {"model": MODEL, "messages": FRANCE, "temperature": 0, "stop": stop}
    if stream:
        chunks = [c async for c in await api.chat.completions.create(**settings, stream=True)]
        text = "".join(c.choices[0].delta.content or "" for c in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        answer = await api.chat.completions.create(**settings)
        text = answer.choices[0].message.content or ""
        reason = answer.choices[0].finish_reason
    assert text.rstrip() == "The capital of France is"
    assert reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities(api: openai.AsyncOpenAI, stream: bool) -> None:
    settings: dict[str, Any] = {
        "model": MODEL, "messages": FRANCE, "temperature": 0, "logprobs": True, "top_logprobs": 3,
    }  # fmt: skip
    if stream:
        entries = [
            entry
            async for chunk in await api.chat.completions.create(**settings, stream=True)
            for choice in chunk.choices
            if choice.logprobs is not None
            for entry in choice.logprobs.content or ()
        ]
    else:
        answer = await api.chat.completions.create(**settings)
        assert answer.choices[0].logprobs is not None
        entries = list(answer.choices[0].logprobs.content or ())
    assert b"".join(bytes(e.bytes or ()) for e in entries).decode() == PARIS
    for entry in entries:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].token == entry.token, "greedy takes the likeliest"
        assert entry.top_logprobs[0].logprob == pytest.approx(entry.logprob)
        assert sum(math.exp(t.logprob) for t in entry.top_logprobs) <= 1.001


async def test_a_bias_changes_the_answer(api: openai.AsyncOpenAI) -> None:
    plain = await api.chat.completions.create(model=MODEL, messages=FRANCE, temperature=0)
    banned = await api.chat.completions.create(
        model=MODEL,
        messages=FRANCE,
        temperature=0,
        logit_bias={str(i): -100 for i in range(1024)},
        max_tokens=8,
    )
    assert banned.choices[0].message.content != plain.choices[0].message.content


async def test_the_prefix_of_a_conversation_is_reused(api: openai.AsyncOpenAI) -> None:
    long = "Please answer this question: " * 20 + "what is the capital of Spain?"
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": long}]
    counts = []
    for _ in range(2):
        answer = await api.chat.completions.create(model=MODEL, messages=messages, max_tokens=4)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        counts.append(answer.usage.prompt_tokens_details.cached_tokens or 0)
        assert counts[-1] < answer.usage.prompt_tokens
    assert counts[1] > counts[0]


@pytest.mark.parametrize(
    ("settings", "kind", "code", "param"),
    [
        ({"model": "nothing/here"}, openai.NotFoundError, "model_not_found", "model"),
        ({"temperature": 3}, openai.UnprocessableEntityError, "invalid_value", "temperature"),
        ({"n": "two"}, openai.BadRequestError, "invalid_type", "n"),
        (
            {"tools": [{"type": "custom"}]},
            openai.BadRequestError,
            "unsupported_parameter",
            "tools[0].type",
        ),
        (
            {"max_tokens": 10**6},
            openai.BadRequestError,
            "context_length_exceeded",
            "max_tokens",
        ),
        (
            {"max_completion_tokens": 10**6},
            openai.BadRequestError,
            "context_length_exceeded",
            "max_completion_tokens",
        ),
        (
            {"messages": [{"role": "user", "content": "word " * 5000}]},
            openai.BadRequestError,
            "context_length_exceeded",
            "messages",
        ),
        ({"messages": []}, openai.UnprocessableEntityError, "invalid_value", "messages"),
        ({"top_k": 10**6}, openai.UnprocessableEntityError, "invalid_value", "top_k"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_refusals_become_the_exceptions_of_the_client(
    api: openai.AsyncOpenAI,
    settings: dict[str, Any],
    kind: type[openai.APIStatusError],
    code: str,
    param: str,
    stream: bool,
) -> None:
    base: dict[str, Any] = {"model": MODEL, "messages": FRANCE, "stream": stream}
    extra = {"top_k": settings.pop("top_k")} if "top_k" in settings else None
    with pytest.raises(kind) as caught:
        await api.chat.completions.create(**base | settings, extra_body=extra)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.request_id
    if extra:
        settings.update(extra)
