"""Texts as vectors over real gRPC, by the embedded model."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import grpc
import pytest

from sterna.v1 import generation_pb2, inference_pb2
from sterna_service.app import CoreOptions
from tests.support.core import PATIENCE, CoreClient, chat, eventually, refusal, running_core

TEXTS = [
    "The capital of France is Paris.",
    "The capital of Italy is Rome.",
    "My dog likes to sleep in the sun.",
]

Input = inference_pb2.EmbedInput


async def embed(core: CoreClient, *texts: str, **fields: Any) -> inference_pb2.EmbedResponse:
    inputs = [Input(text=text) for text in texts]
    request = inference_pb2.EmbedRequest(inputs=inputs, **fields)
    return await core.inference.Embed(request, timeout=PATIENCE)


def vectors(response: inference_pb2.EmbedResponse) -> list[list[float]]:
    return [list(each.values) for each in response.embeddings]


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_every_text_gets_a_vector_of_length_one(core: CoreClient) -> None:
    answer = await embed(core, *TEXTS)
    assert answer.model_id == "sterna/tern-nano"
    assert answer.pooling == inference_pb2.POOLING_MEAN
    found = vectors(answer)
    assert len(found) == 3
    assert len({len(each) for each in found}) == 1
    for each in found:
        assert math.hypot(*each) == pytest.approx(1, abs=1e-5)
    assert cosine(found[0], found[1]) > cosine(found[0], found[2])
    assert answer.usage.prompt_token_count > 15
    assert answer.usage.completion_token_count == 0


async def test_a_vector_does_not_depend_on_what_is_beside_it(core: CoreClient) -> None:
    together = vectors(await embed(core, *TEXTS))
    for text, vector in zip(TEXTS, together, strict=True):
        assert vectors(await embed(core, text)) == [vector]
    busy, *_ = await asyncio.gather(
        embed(core, *TEXTS), core.generate(chat("Hello!")), embed(core, *reversed(TEXTS))
    )
    assert vectors(busy) == together


async def test_more_texts_than_fit_at_the_same_time(core: CoreClient) -> None:
    texts = [f"This is text number {index}." for index in range(200)]
    found = vectors(await embed(core, *texts))
    assert len({tuple(each) for each in found}) == 200
    assert [found[117]] == vectors(await embed(core, texts[117]))


async def test_token_ids_and_their_text_are_the_same(core: CoreClient) -> None:
    request = inference_pb2.TokenizeRequest(text=generation_pb2.TextPrompt(text=TEXTS[0]))
    ids = (await core.inference.Tokenize(request, timeout=PATIENCE)).token_ids
    tokens = Input(tokens=generation_pb2.TokenPrompt(token_ids=ids))
    answer = await core.inference.Embed(
        inference_pb2.EmbedRequest(inputs=[tokens]), timeout=PATIENCE
    )
    assert vectors(answer) == vectors(await embed(core, TEXTS[0]))


async def test_fewer_dimensions_are_the_first_ones(core: CoreClient) -> None:
    (whole,) = vectors(await embed(core, TEXTS[0]))
    (part,) = vectors(await embed(core, TEXTS[0], dimension_count=8))
    length = math.hypot(*whole[:8])
    assert part == pytest.approx([value / length for value in whole[:8]], abs=1e-5)
    for count in (0, -1, len(whole) + 1):
        refused = await refusal(embed(core, TEXTS[0], dimension_count=count))
        assert refused.fields == ["dimension_count"]
        assert refused.metadata["limit"] == f"1 to {len(whole)}"


async def test_an_instruction_comes_before_every_text(core: CoreClient) -> None:
    instructed = await embed(core, *TEXTS, instruction="Query: ")
    spelled = await embed(core, *(f"Query: {text}" for text in TEXTS))
    assert vectors(instructed) == vectors(spelled)


async def test_similarities(core: CoreClient) -> None:
    request = inference_pb2.ComputeSimilaritiesRequest(texts=[*TEXTS, TEXTS[0]])
    answer = await core.inference.ComputeSimilarities(request, timeout=PATIENCE)
    assert answer.text_count == 4
    found = vectors(await embed(core, *request.texts))
    expected = [cosine(a, b) for a in found for b in found]
    assert list(answer.similarities) == pytest.approx(expected, abs=1e-5)
    assert [answer.similarities[5 * i] for i in range(4)] == [1.0] * 4
    assert answer.similarities[3] == pytest.approx(1, abs=1e-6)
    assert max(answer.similarities) <= 1


async def test_what_is_refused(core: CoreClient) -> None:
    assert (await refusal(embed(core))).fields == ["inputs"]
    assert (await refusal(embed(core, "a", ""))).fields == ["inputs[1]"]
    assert (await refusal(embed(core, *["a"] * 2049))).metadata["limit"] == "1 to 2048 inputs"
    assert (await refusal(embed(core, "a", model_id="nothing"))).reason == "MODEL_NOT_FOUND"
    long = await refusal(embed(core, "a", "word " * 3000))
    assert (long.code, long.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "CONTEXT_LENGTH_EXCEEDED",
    )
    assert long.fields == ["inputs[1]"]
    assert int(long.metadata["prompt_tokens"]) > int(long.metadata["context_length"]) == 1024
    bad = Input(tokens=generation_pb2.TokenPrompt(token_ids=[1, 99_999]))
    for each, field in ((Input(), "inputs[0]"), (bad, "inputs[0].tokens.token_ids[1]")):
        request = inference_pb2.EmbedRequest(inputs=[each])
        refused = await refusal(core.inference.Embed(request, timeout=PATIENCE))
        assert refused.fields == [field]
    compared = core.inference.ComputeSimilarities
    nothing = inference_pb2.ComputeSimilaritiesRequest()
    assert (await refusal(compared(nothing, timeout=PATIENCE))).fields == ["texts"]
    blank = inference_pb2.ComputeSimilaritiesRequest(texts=["a", ""])
    assert (await refusal(compared(blank, timeout=PATIENCE))).fields == ["texts[1]"]


async def test_the_longest_text_that_fits(core: CoreClient) -> None:
    tokens = Input(tokens=generation_pb2.TokenPrompt(token_ids=[7] * 1024))
    request = inference_pb2.EmbedRequest(inputs=[tokens])
    answer = await core.inference.Embed(request, timeout=PATIENCE)
    assert answer.usage.prompt_token_count == 1024


async def test_cancelling_frees_the_engine(sterna_home: Any, endless_model: str) -> None:
    options = CoreOptions(home=sterna_home, port=0, model=endless_model, max_batch=2)
    async with running_core(options) as core:
        inputs = [
            Input(tokens=generation_pb2.TokenPrompt(token_ids=[7 + i] * 4000)) for i in range(50)
        ]
        call = core.inference.Embed(inference_pb2.EmbedRequest(inputs=inputs), timeout=PATIENCE)

        async def begun() -> bool:
            return (await core.engine()).running_count > 0

        async def idle() -> bool:
            engine = await core.engine()
            return engine.running_count == engine.waiting_count == 0

        await eventually(begun)
        call.cancel()
        await eventually(idle)
        assert (await core.engine()).prompt_token_count < 50 * 4000
