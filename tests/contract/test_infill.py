"""Filling gaps, over real gRPC, with a model whose vocabulary has the marks for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import sterna_service.models
from sterna.v1 import generation_event_pb2, generation_pb2, inference_pb2
from sterna_service.app import CoreOptions
from tests.support.core import PATIENCE, CoreClient, refusal, running_core

GREEDY = generation_pb2.SamplingParams(temperature=0)
MARKS = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
# The last tokens of the vocabulary, which get these names.
BEFORE, AFTER, MIDDLE = 4093, 4094, 4095


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, whose last tokens are the marks. It was not trained to use them."""
    embedded = Path(sterna_service.models.__file__).parent / "embedded"
    target = tmp_path_factory.mktemp("models") / "infill"
    shutil.copytree(embedded, target)
    path = target / "tokenizer.json"
    document = json.loads(path.read_text())
    vocabulary = document["model"]["vocab"]
    named = {id: text for text, id in vocabulary.items()}
    for id, mark in zip((BEFORE, AFTER, MIDDLE), MARKS, strict=True):
        merged = named[id]
        document["model"]["merges"] = [
            pair
            for pair in document["model"]["merges"]
            if "".join(pair if isinstance(pair, list) else pair.split(" ")) != merged
        ]
        del vocabulary[merged]
        vocabulary[mark] = id
        added = dict(document["added_tokens"][0], id=id, content=mark, special=False)
        document["added_tokens"].append(added)
    path.write_text(json.dumps(document))
    return target


@pytest.fixture
async def core(sterna_home: Path, model: Path) -> AsyncIterator[CoreClient]:
    options = CoreOptions(home=sterna_home, port=0, model=str(model))
    async with running_core(options) as client:
        yield client


async def tokens(core: CoreClient, text: str) -> list[int]:
    request = inference_pb2.TokenizeRequest(
        text=generation_pb2.TextPrompt(text=text, add_special_tokens=False)
    )
    return list((await core.inference.Tokenize(request, timeout=PATIENCE)).token_ids)


async def test_the_answer_stands_between_prompt_and_suffix(core: CoreClient) -> None:
    begin, end = "The capital of", " is Paris."
    prompt = generation_pb2.TextPrompt(text=begin, suffix=end, add_special_tokens=False)
    stop = generation_pb2.StopCriteria(max_tokens=12)
    spec = generation_pb2.GenerationSpec(text=prompt, sampling=GREEDY, stop=stop, echo=True)
    filled = await core.generate(spec)
    assert filled.prompt_text == begin
    arranged = [BEFORE, *await tokens(core, begin), AFTER, *await tokens(core, end), MIDDLE]
    assert filled.usage.prompt_token_count == len(arranged)
    same = generation_pb2.GenerationSpec(
        tokens=generation_pb2.TokenPrompt(token_ids=arranged),
        sampling=GREEDY,
        stop=generation_pb2.StopCriteria(max_tokens=12, stop_token_ids=[BEFORE, AFTER, MIDDLE]),
    )
    assert (await core.generate(same)).choices[0].text == filled.choices[0].text


async def test_a_mark_ends_the_answer(core: CoreClient) -> None:
    spec = generation_pb2.GenerationSpec(
        text=generation_pb2.TextPrompt(text="a", suffix="b"),
        sampling=generation_pb2.SamplingParams(temperature=0, logit_bias={MIDDLE: 100}),
    )
    (choice,) = (await core.generate(spec)).choices
    assert choice.text == ""
    assert choice.finish_reason == generation_event_pb2.FINISH_REASON_STOP


async def test_both_texts_count(core: CoreClient) -> None:
    long = "word " * 4000
    spec = generation_pb2.GenerationSpec(text=generation_pb2.TextPrompt(text="a", suffix=long))
    assert (await refusal(core.generate(spec))).reason == "CONTEXT_LENGTH_EXCEEDED"
