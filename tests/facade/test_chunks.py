"""The exact bytes of streams, from scripted events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai.types import Completion as OpenAICompletion
from openai.types.chat import ChatCompletionChunk

from sterna.v1.generation_event_pb2 import FinishReason, TokenLogprob
from sterna.v1.inference_pb2 import StreamGenerateResponse
from sterna_rest.chat.schemas import ChatChunk
from sterna_rest.chat.stream import ChatChunks
from sterna_rest.completions.schemas import Completion
from sterna_rest.completions.stream import CompletionChunks
from sterna_rest.errors import ApiError
from sterna_rest.generation.chunks import ChunkEncoder, encoded
from tests.support.scripted_core import delta, finished, started, usage
from tests.support.sse import Events, parse_events

Tagged = tuple[int, StreamGenerateResponse]


async def body_of(encoder: ChunkEncoder, events: list[Tagged], prompts: int = 1) -> bytes:
    async def source() -> AsyncIterator[Tagged]:
        for event in events:
            yield event

    return b"".join([chunk async for chunk in encoded(source(), encoder, prompt_count=prompts)])


def chat(choices: int = 1, include_usage: bool = False) -> ChatChunks:
    return ChatChunks(choice_count=choices, include_usage=include_usage)


def text(choices: int = 1, include_usage: bool = False) -> CompletionChunks:
    return CompletionChunks(choice_count=choices, include_usage=include_usage)


def one(*events: StreamGenerateResponse) -> list[Tagged]:
    return [(0, event) for event in events]


async def test_a_chat_stream_to_the_letter() -> None:
    body = await body_of(
        chat(), one(started(), delta("Hi"), delta('"\n\x00é😀'), finished(), usage())
    )
    head = (
        'data: {"id":"chatcmpl-00000000000000000000000000000000",'
        '"object":"chat.completion.chunk","created":1700000000,"model":"org/model","choices":'
    )
    assert body.decode() == (
        f'{head}[{{"index":0,"delta":{{"role":"assistant"}},"finish_reason":null}}]}}\n\n'
        f'{head}[{{"index":0,"delta":{{"content":"Hi"}},"finish_reason":null}}]}}\n\n'
        f'{head}[{{"index":0,"delta":{{"content":"\\"\\n\\u0000é😀"}},"finish_reason":null}}]}}\n\n'
        f'{head}[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}\n\n'
        "data: [DONE]\n\n"
    )


async def test_usage_comes_only_when_asked_for() -> None:
    events = one(started(), delta("Hi"), finished(), usage())
    without = parse_events(await body_of(chat(), events))
    assert all("usage" not in chunk for chunk in without.chunks)
    with_usage = parse_events(await body_of(chat(include_usage=True), events))
    assert [chunk["usage"] for chunk in with_usage.chunks[:-1]] == [None, None, None]
    last = with_usage.chunks[-1]
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 5
    assert last["usage"]["cached_tokens"] == 1
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert with_usage.done


async def test_every_choice_has_its_role_and_its_end() -> None:
    events = parse_events(
        await body_of(
            chat(choices=2),
            one(
                started(),
                delta("a", 1),
                delta("b", 0),
                finished(1, FinishReason.FINISH_REASON_LENGTH),
                delta("c", 0),
                finished(0),
                usage(),
            ),
        )
    )
    for index, content, reason in ((0, "bc", "stop"), (1, "a", "length")):
        mine = [c["choices"][0] for c in events.chunks if c["choices"][0]["index"] == index]
        assert mine[0]["delta"] == {"role": "assistant"}
        assert mine[-1]["delta"] == {}
        assert [c["finish_reason"] for c in mine] == [None] * (len(mine) - 1) + [reason]
        assert "".join(c["delta"].get("content", "") for c in mine) == content
    assert len({(c["id"], c["created"], c["model"]) for c in events.chunks}) == 1


async def test_an_empty_delta_makes_no_chunk() -> None:
    events = parse_events(await body_of(chat(), one(started(), delta(""), finished(), usage())))
    assert len(events.chunks) == 2


async def test_a_log_probability_without_text_makes_one() -> None:
    event = delta("")
    event.delta.logprobs.append(TokenLogprob(text="\ufffd", raw_bytes=b"\xc3", logprob=-0.5))
    events = parse_events(await body_of(chat(), one(started(), event, finished(), usage())))
    choice = events.chunks[1]["choices"][0]
    assert choice["delta"] == {"content": ""}
    assert choice["logprobs"]["content"][0]["bytes"] == [0xC3]


async def test_a_completion_stream_to_the_letter() -> None:
    body = await body_of(text(), one(started(), delta("Hi"), finished(), usage()))
    head = (
        'data: {"id":"cmpl-00000000000000000000000000000000","object":"text_completion",'
        '"created":1700000000,"model":"org/model","choices":'
    )
    assert body.decode() == (
        f'{head}[{{"index":0,"text":"Hi","logprobs":null,"finish_reason":null}}]}}\n\n'
        f'{head}[{{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}}]}}\n\n'
        "data: [DONE]\n\n"
    )


async def test_several_prompts_in_one_stream() -> None:
    events = parse_events(
        await body_of(
            text(choices=2, include_usage=True),
            [
                (1, started(response_id="1" * 32)),
                (0, started(response_id="2" * 32)),
                (1, delta("d", 1)),
                (0, delta("a", 0)),
                *[(p, finished(c)) for p in (0, 1) for c in (0, 1)],
                (1, usage()),
                (0, usage()),
            ],
            prompts=2,
        )
    )
    assert {c["id"] for c in events.chunks} == {"cmpl-" + "1" * 32}
    texts = {c["choices"][0]["index"]: c["choices"][0]["text"] for c in events.chunks[:2]}
    assert texts == {3: "d", 0: "a"}
    assert events.chunks[-1]["usage"]["prompt_tokens"] == 6
    assert events.done


async def test_echo_comes_first_in_every_choice() -> None:
    first = started(prompt_text="ab")
    first.started.prompt_logprobs.append(TokenLogprob(text="ab", raw_bytes=b"ab"))
    event = delta("c", 1)
    event.delta.logprobs.append(TokenLogprob(text="c", raw_bytes=b"c", logprob=-1))
    events = parse_events(
        await body_of(text(choices=2), one(first, event, finished(0), finished(1), usage()))
    )
    choices = [c["choices"][0] for c in events.chunks]
    assert [(c["index"], c["text"]) for c in choices[:3]] == [(0, "ab"), (1, "ab"), (1, "c")]
    assert choices[2]["logprobs"]["text_offset"] == [2]


@pytest.mark.parametrize(
    "events",
    [
        one(started(), delta("x"), usage()),
        one(started(), delta("x"), finished()),
        one(started()),
        [],
    ],
)
@pytest.mark.parametrize("encoder", [chat, text])
async def test_half_an_answer_is_an_error(encoder: Any, events: list[Tagged]) -> None:
    with pytest.raises(ApiError) as caught:
        await body_of(encoder(), events)
    assert caught.value.status_code == 500


@pytest.mark.parametrize("include_usage", [False, True])
async def test_chunks_fit_the_documented_and_the_official_types(include_usage: bool) -> None:
    event = delta("a")
    event.delta.logprobs.append(TokenLogprob(text="a", raw_bytes=b"a", logprob=-0.5))
    events = one(started(), event, finished(), usage())
    chat_events: Events = parse_events(await body_of(chat(include_usage=include_usage), events))
    for chunk in chat_events.chunks:
        ChatChunk.model_validate(chunk)
        ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True)
    text_events: Events = parse_events(await body_of(text(include_usage=include_usage), events))
    for chunk in text_events.chunks:
        Completion.model_validate(chunk)
        if chunk["choices"][:1] and chunk["choices"][0]["finish_reason"] is None:
            continue  # OpenAI's own type has no null here, though its API sends it
        OpenAICompletion.model_validate_json(json.dumps(chunk))
