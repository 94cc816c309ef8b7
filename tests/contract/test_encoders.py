"""Sentence encoders over real gRPC: chosen by setting or by name, described, and refused."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import sterna_service.models
from sterna import AsyncClient
from sterna.v1 import generation_pb2, inference_pb2, model_admin_pb2, model_pb2
from sterna_service.app import CoreOptions, start_core
from sterna_service.errors import StartupError
from sterna_service.inference.tokenizer import load_tokenizer
from sterna_service.models.store import Store
from tests.support.core import PATIENCE, CoreClient, chat, refusal, running_core
from tests.support.tiny_bert import HIDDEN, bert_states, make_weights
from tests.support.tiny_encoder import make_encoder, make_tokenizer

TEXTS = ["terns fly far", "the capital of france is paris", "the sea"]
PROMPTS = {"query": "task : search result | query : ", "passage": "title : none | text : "}
WEIGHTS = make_weights()

EMBEDDED = Path(sterna_service.models.__file__).parent / "embedded"

Input = inference_pb2.EmbedInput


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose store has an encoder."""
    made = make_encoder(tmp_path / "made", WEIGHTS, prompts=PROMPTS)
    (made / "secrets.txt").write_text("not a model's file")
    stored = Store(tmp_path / "home").take_in("me/tiny-encoder", made)
    assert (stored / "onnx" / "model.onnx").is_file()
    assert not (stored / "secrets.txt").exists()
    shutil.rmtree(made)
    return tmp_path / "home"


@pytest.fixture
async def encoder_core(home: Path) -> AsyncIterator[CoreClient]:
    """A core whose vectors come from it."""
    async with running_core(CoreOptions(home=home, port=0, embedding_model="tiny-encoder")) as core:
        yield core


async def embed(core: CoreClient, *texts: str, **fields: Any) -> inference_pb2.EmbedResponse:
    inputs = [Input(text=text) for text in texts]
    request = inference_pb2.EmbedRequest(inputs=inputs, **fields)
    return await core.inference.Embed(request, timeout=PATIENCE)


def expected(text: str, tokens: int | None = None) -> Any:
    tokenizer = make_tokenizer()
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if tokens is not None:
        tokenizer.enable_truncation(tokens)
    mean = bert_states(WEIGHTS, tokenizer.encode(text).ids).mean(axis=0)
    return mean / np.linalg.norm(mean)


async def test_the_chosen_model_makes_the_vectors(encoder_core: CoreClient) -> None:
    answer = await embed(encoder_core, *TEXTS)
    assert answer.model_id == "me/tiny-encoder"
    assert answer.pooling == inference_pb2.POOLING_MEAN
    assert answer.usage.prompt_token_count == 5 + 8 + 4
    for text, vector in zip(TEXTS, answer.embeddings, strict=True):
        np.testing.assert_allclose(vector.values, expected(text), atol=5e-6)
    alike = inference_pb2.ComputeSimilaritiesRequest(texts=TEXTS)
    compared = await encoder_core.inference.ComputeSimilarities(alike, timeout=PATIENCE)
    assert compared.model_id == "me/tiny-encoder"
    cosine = float(expected(TEXTS[0]) @ expected(TEXTS[1]))
    assert compared.similarities[1] == pytest.approx(cosine, abs=1e-5)


async def test_the_language_model_still_makes_them_by_name(encoder_core: CoreClient) -> None:
    answer = await embed(encoder_core, *TEXTS, model_id="tern-nano")
    assert answer.model_id == "sterna/tern-nano"
    spoken = await encoder_core.generate(chat("Hello!"))
    assert spoken.model_id == "sterna/tern-nano"


async def test_prompts(encoder_core: CoreClient) -> None:
    for name, prompt in {**PROMPTS, "document": PROMPTS["passage"], "": ""}.items():
        (found,) = (await embed(encoder_core, TEXTS[0], prompt_name=name)).embeddings
        np.testing.assert_allclose(found.values, expected(prompt + TEXTS[0]), atol=5e-6)
    (found,) = (await embed(encoder_core, TEXTS[0], instruction="the ")).embeddings
    np.testing.assert_allclose(found.values, expected("the " + TEXTS[0]), atol=5e-6)
    unknown = await refusal(embed(encoder_core, TEXTS[0], prompt_name="poem"))
    assert unknown.fields == ["prompt_name"]
    assert "document, passage, query" in unknown.message
    both = await refusal(embed(encoder_core, TEXTS[0], prompt_name="query", instruction="a"))
    assert both.fields == ["prompt_name"]
    # A language model that has no prompts treats both kinds of text alike.
    plain = await embed(encoder_core, TEXTS[0], model_id="tern-nano")
    asked = await embed(encoder_core, TEXTS[0], model_id="tern-nano", prompt_name="query")
    assert plain.embeddings == asked.embeddings


async def test_long_texts_are_refused_or_cut(encoder_core: CoreClient) -> None:
    long = "tern " * 40
    refused = await refusal(embed(encoder_core, TEXTS[0], long))
    assert (refused.reason, refused.fields) == ("CONTEXT_LENGTH_EXCEEDED", ["inputs[1]"])
    assert refused.metadata["prompt_tokens"] == "42"
    assert refused.metadata["context_length"] == "16"
    cut = await embed(encoder_core, long, truncate=True)
    assert cut.usage.prompt_token_count == 16
    np.testing.assert_allclose(cut.embeddings[0].values, expected(long, 16), atol=5e-6)
    cut = await embed(encoder_core, "word " * 3000, model_id="tern-nano", truncate=True)
    assert cut.usage.prompt_token_count == 1024


async def test_token_ids_and_dimensions(encoder_core: CoreClient) -> None:
    ids = make_tokenizer()
    ids.no_padding()
    tokens = Input(tokens=generation_pb2.TokenPrompt(token_ids=ids.encode(TEXTS[0]).ids))
    request = inference_pb2.EmbedRequest(inputs=[tokens], dimension_count=8)
    (found,) = (await encoder_core.inference.Embed(request, timeout=PATIENCE)).embeddings
    first = expected(TEXTS[0])[:8]
    np.testing.assert_allclose(found.values, first / np.linalg.norm(first), atol=5e-6)
    bad = Input(tokens=generation_pb2.TokenPrompt(token_ids=[1, 999]))
    request = inference_pb2.EmbedRequest(inputs=[bad])
    refused = await refusal(encoder_core.inference.Embed(request, timeout=PATIENCE))
    assert refused.fields == ["inputs[0].tokens.token_ids[1]"]
    refused = await refusal(embed(encoder_core, "a", dimension_count=33))
    assert refused.metadata["limit"] == f"1 to {HIDDEN}"


async def test_how_it_is_described(encoder_core: CoreClient) -> None:
    request = model_admin_pb2.GetModelRequest(model_id="tiny-encoder")
    model = (await encoder_core.admin.GetModel(request, timeout=PATIENCE)).model
    assert (model.family, model.format) == ("bert", "onnx")
    assert list(model.capabilities) == [model_pb2.MODEL_CAPABILITY_EMBEDDING]
    assert model.parameter_count > sum(value.size for value in WEIGHTS.values())
    assert model.context_length == 16
    assert (model.default_model, model.default_embedding_model) == (False, True)
    assert model.state == model_pb2.MODEL_STATE_LOADED
    assert model.memory_bytes > 4 * sum(value.size for value in WEIGHTS.values())
    assert model.embedding.dimension_count == HIDDEN
    assert model.embedding.max_token_count == 16
    assert model.embedding.pooling == inference_pb2.POOLING_MEAN
    assert list(model.embedding.prompt_names) == ["document", "passage", "query"]
    assert model.path.endswith("models/me/tiny-encoder")
    info = await encoder_core.admin.GetServerInfo(
        model_admin_pb2.GetServerInfoRequest(), timeout=PATIENCE
    )
    assert info.default_embedding_model_id == "me/tiny-encoder"
    assert info.default_model_id == "sterna/tern-nano"
    await embed(encoder_core, *TEXTS)
    engines = {each.model_id: each for each in (await encoder_core.status()).engines}
    assert engines["me/tiny-encoder"].kernel == "onnxruntime"
    assert engines["me/tiny-encoder"].prompt_token_count == 17
    request = model_admin_pb2.GetModelRequest()
    nano = (await encoder_core.admin.GetModel(request, timeout=PATIENCE)).model
    assert model_pb2.MODEL_CAPABILITY_EMBEDDING in nano.capabilities
    assert (nano.default_model, nano.default_embedding_model) == (True, False)
    assert nano.embedding.dimension_count == nano.architecture.hidden_size


async def test_it_cannot_generate(encoder_core: CoreClient) -> None:
    for _ in range(2):
        refused = await refusal(encoder_core.generate(chat("Hello!", model_id="tiny-encoder")))
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "CAPABILITY_MISSING",
        )
        assert "me/tiny-encoder is a sentence encoder" in refused.message
        # The second time while it is not in memory, and it is not loaded for it.
        unload = model_admin_pb2.UnloadModelRequest(model_id="tiny-encoder")
        model = (await encoder_core.admin.UnloadModel(unload, timeout=PATIENCE)).model
        assert model.state == model_pb2.MODEL_STATE_UNLOADED
    load = model_admin_pb2.LoadModelRequest(model_id="tiny-encoder", make_default=True)
    refused = await refusal(encoder_core.admin.LoadModel(load, timeout=PATIENCE))
    assert refused.reason == "CAPABILITY_MISSING"
    # The next request for vectors loads it again.
    assert (await embed(encoder_core, *TEXTS)).model_id == "me/tiny-encoder"


async def test_without_the_setting_it_is_there_by_name(home: Path) -> None:
    async with running_core(CoreOptions(home=home, port=0)) as core:
        assert (await embed(core, "a")).model_id == "sterna/tern-nano"
        assert (await embed(core, "a", model_id="me/tiny-encoder")).model_id == "me/tiny-encoder"


async def test_settings_that_cannot_be(home: Path) -> None:
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"embedding_model": "me/nothing"}, "there is no model 'me/nothing'"),
        ({"model": "me/tiny-encoder"}, "give it as embedding_model"),
        ({"embedding_pooling": "max"}, "embedding_pooling must be mean or last"),
    )
    for options, words in cases:
        with pytest.raises(StartupError, match=words):
            await start_core(CoreOptions(home=home, port=0, **options))


async def test_last_token_pooling_of_a_language_model(sterna_home: Path) -> None:
    options = CoreOptions(home=sterna_home, port=0, embedding_pooling="last")
    async with running_core(options) as core:
        answer = await embed(core, *TEXTS)
        assert answer.pooling == inference_pb2.POOLING_LAST_TOKEN
        # The end of the text is a token of its own, and its vector is taken.
        text = generation_pb2.TextPrompt(text=TEXTS[0])
        request = inference_pb2.TokenizeRequest(text=text)
        ids = list((await core.inference.Tokenize(request, timeout=PATIENCE)).token_ids)
        assert answer.usage.prompt_token_count > 3 * 3
        end = load_tokenizer(EMBEDDED, None).eos_token_id
        assert end is not None
        tokens = Input(tokens=generation_pb2.TokenPrompt(token_ids=[*ids, end]))
        same = inference_pb2.EmbedRequest(inputs=[tokens])
        found = await core.inference.Embed(same, timeout=PATIENCE)
        assert found.embeddings[0] == answer.embeddings[0]
        model = (
            await core.admin.GetModel(model_admin_pb2.GetModelRequest(), timeout=PATIENCE)
        ).model
        assert model.embedding.pooling == inference_pb2.POOLING_LAST_TOKEN


async def test_large_answers_are_streamed(tmp_path: Path) -> None:
    wide = np.random.default_rng(3).standard_normal((1024, HIDDEN)).astype(np.float32)
    made = make_encoder(tmp_path / "wide", WEIGHTS, dense=[wide])
    options = CoreOptions(home=tmp_path / "home", port=0, embedding_model=str(made))
    async with running_core(options) as core:
        texts = [word for word in ("tern", "sea", "sky", "france") for _ in range(500)]
        request = inference_pb2.EmbedRequest(inputs=[Input(text=text) for text in texts])
        refused = await refusal(core.inference.Embed(request, timeout=PATIENCE))
        assert refused.fields == ["inputs"]
        assert "at most 1019 for one answer of 4194304 bytes" in refused.message
        assert "StreamEmbed" in refused.message
        # A client with gRPC's usual limit receives as many as that.
        most = inference_pb2.EmbedRequest(inputs=request.inputs[:1019])
        whole = await core.inference.Embed(most, timeout=PATIENCE)
        stream = core.inference.StreamEmbed(
            inference_pb2.StreamEmbedRequest(request=request), timeout=PATIENCE
        )
        parts = [part async for part in stream]
        assert len(parts) >= 8
        assert all(part.ByteSize() <= 1024 * 1024 for part in parts)
        assert [part.HasField("usage") for part in parts] == [False] * (len(parts) - 1) + [True]
        vectors = [each for part in parts for each in part.embeddings]
        assert len(vectors) == 2000
        for ours, theirs in zip(vectors[::250], whole.embeddings[::250], strict=False):
            np.testing.assert_allclose(ours.values, theirs.values, atol=1e-5)
        async with AsyncClient(core.core.address, generation_timeout=PATIENCE) as client:
            gathered = await client.embed(texts)
        assert gathered.model_id == parts[-1].model_id
        assert gathered.usage.prompt_token_count == parts[-1].usage.prompt_token_count
        assert len(gathered.embeddings) == 2000
        for mine, theirs in zip(gathered.embeddings[::250], vectors[::250], strict=True):
            np.testing.assert_allclose(mine.values, theirs.values, atol=1e-5)
        empty = core.inference.StreamEmbed(inference_pb2.StreamEmbedRequest(), timeout=PATIENCE)
        assert (await refusal(empty.read())).fields == ["inputs"]
