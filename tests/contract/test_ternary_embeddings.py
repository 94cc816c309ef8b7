"""A ternary embedding model of the Qwen3 architecture, with a norm in every projection.

It is pooled by its last token, and compared over gRPC with the states that transformers computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from scripts.checkpoint_presets import PRESETS
from sterna.v1 import generation_pb2, inference_pb2, model_admin_pb2
from sterna_service.app import CoreOptions
from sterna_service.models.synthetic.checkpoint import make_checkpoint
from tests.support.core import PATIENCE, CoreClient, running_core
from tests.support.tiny_encoder import write_json

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden" / "qwen3-embedding.npz"
PRESET = PRESETS["qwen3-embedding"]
QUERY = "Instruct: Find what answers the question\nQuery: "
TEXT = "What is the point of that?"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of the golden values, laid out as `microsoft/bitnet-embedding-0.6b` is."""
    directory = tmp_path_factory.mktemp("models") / "tiny-embedding"
    make_checkpoint(directory, PRESET, 0)
    steps = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    write_json(
        directory / "modules.json",
        [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in steps],
    )
    pooling = {"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True}
    write_json(directory / "1_Pooling" / "config.json", pooling | {"include_prompt": True})
    prompts = {"query": QUERY, "document": ""}
    write_json(directory / "config_sentence_transformers.json", {"prompts": prompts})
    return directory


async def embed(
    core: CoreClient, *inputs: str | list[int], **fields: Any
) -> inference_pb2.EmbedResponse:
    messages = [
        inference_pb2.EmbedInput(text=each)
        if isinstance(each, str)
        else inference_pb2.EmbedInput(tokens=generation_pb2.TokenPrompt(token_ids=each))
        for each in inputs
    ]
    request = inference_pb2.EmbedRequest(inputs=messages, **fields)
    return await core.inference.Embed(request, timeout=PATIENCE)


async def test_vectors_are_the_last_states_of_transformers(
    checkpoint: Path, sterna_home: Path
) -> None:
    golden = np.load(GOLDEN)
    states = golden["layer/hidden"][-1].astype(np.float64)
    (name,) = [name for name in load_file(checkpoint / "model.safetensors") if name in _NORMS]
    weight = load_file(checkpoint / "model.safetensors")[name].astype(np.float64)
    last = states[-1] / np.sqrt(np.mean(states[-1] ** 2) + PRESET.eps) * weight
    expected = last / np.linalg.norm(last)
    options = CoreOptions(home=sterna_home, port=0, model=str(checkpoint), kv_cache_dtype="f32")
    async with running_core(options) as core:
        answer = await embed(core, golden["layer/tokens"].tolist())
        assert answer.pooling == inference_pb2.POOLING_LAST_TOKEN
        vector = np.array(answer.embeddings[0].values)
        # Activations are rounded to int8: one that lies on a boundary moves the state a little.
        assert float(vector @ expected) > 0.9995


async def test_prompts_and_the_end_of_the_text(checkpoint: Path, sterna_home: Path) -> None:
    options = CoreOptions(home=sterna_home, port=0, embedding_model=str(checkpoint))
    async with running_core(options) as core:

        async def vector(text: str | list[int], name: str = "") -> inference_pb2.Embedding:
            answer = await embed(core, text, prompt_name=name)
            return answer.embeddings[0]

        query, document = await vector(TEXT, "query"), await vector(TEXT, "document")
        spelled = await vector(QUERY + TEXT)
        assert query == spelled
        assert query != document
        text = generation_pb2.TextPrompt(text=TEXT)
        request = inference_pb2.TokenizeRequest(model_id="tiny-embedding", text=text)
        ids = list((await core.inference.Tokenize(request, timeout=PATIENCE)).token_ids)
        # The end-of-text token, which the tokenizer does not add, is the one whose state counts.
        end = _end_token(checkpoint)
        assert await vector([*ids, end]) == document
        assert await vector(ids) != document
        model = model_admin_pb2.GetModelRequest(model_id="tiny-embedding")
        traits = (await core.admin.GetModel(model, timeout=PATIENCE)).model.embedding
        assert traits.pooling == inference_pb2.POOLING_LAST_TOKEN
        assert list(traits.prompt_names) == ["document", "query"]


_NORMS = ("norm.weight", "model.norm.weight")


def _end_token(checkpoint: Path) -> int:
    from sterna_service.inference.tokenizer import load_tokenizer

    found = load_tokenizer(checkpoint, None).eos_token_id
    assert found is not None
    return found
