"""A sentence encoder, compared with transformers and with numpy."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from sterna_service.encoders.encoder import Encoder, EncoderOptions, batches, load_encoder
from sterna_service.encoders.traits import Pooling
from sterna_service.errors import ModelLoadError, Reason, ServiceError
from tests.support.tiny_bert import HIDDEN, bert_states, make_weights
from tests.support.tiny_encoder import make_encoder, write_json

GOLDEN = Path(__file__).resolve().parents[3] / "data" / "golden" / "encoder.npz"
WEIGHTS = make_weights()
TEXTS = ["terns fly far", "the sea", "the capital of france is paris", "penguins do not fly"]


async def load(directory: Path, **options: int) -> Encoder:
    return await load_encoder("me/tiny", directory, EncoderOptions(**options))


async def refused(directory: Path) -> ModelLoadError:
    with pytest.raises(ModelLoadError) as caught:
        await load(directory)
    return caught.value


@pytest.mark.parametrize(
    ("pooling", "kind"),
    [
        ("mean_tokens", Pooling.MEAN),
        ("cls_token", Pooling.FIRST_TOKEN),
        ("lasttoken", Pooling.LAST_TOKEN),
        (None, Pooling.MEAN),
    ],
)
async def test_vectors_are_those_of_transformers(
    tmp_path: Path, pooling: str | None, kind: Pooling
) -> None:
    encoder = await load(make_encoder(tmp_path / "tiny", WEIGHTS, pooling=pooling))
    golden = np.load(GOLDEN)
    assert encoder.pooling is kind
    ids = [golden[f"ids{index}"].tolist() for index in range(3)]
    found = await encoder.vectors(ids)
    for index, vector in enumerate(found):
        states = golden[f"states{index}"]
        expected = {
            Pooling.MEAN: states.mean(axis=0),
            Pooling.FIRST_TOKEN: states[0],
            Pooling.LAST_TOKEN: states[-1],
        }[kind]
        np.testing.assert_allclose(vector, expected, atol=5e-6)
    await encoder.close()


async def test_texts_of_all_lengths_in_one_call_are_as_alone(tmp_path: Path) -> None:
    encoder = await load(make_encoder(tmp_path / "tiny", WEIGHTS, longest=64))
    random = np.random.default_rng(1)
    inputs = [random.integers(5, 20, size).tolist() for size in random.integers(1, 64, 300)]
    found = await encoder.vectors(inputs)
    for ids, vector in zip(inputs[:40], found, strict=False):
        np.testing.assert_allclose(vector, bert_states(WEIGHTS, ids).mean(axis=0), atol=1e-5)
    assert encoder.token_count == sum(map(len, inputs))
    await encoder.close()


async def test_dense_layers_follow_the_pooling(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    wide = random.standard_normal((48, HIDDEN)).astype(np.float32)
    narrow = random.standard_normal((24, 48)).astype(np.float32)
    encoder = await load(make_encoder(tmp_path / "tiny", WEIGHTS, dense=[wide, narrow]))
    assert encoder.dimensions == 24
    (found,) = await encoder.vectors([[2, 7, 9, 10, 3]])
    mean = bert_states(WEIGHTS, [2, 7, 9, 10, 3]).mean(axis=0)
    np.testing.assert_allclose(found, narrow @ (wide @ mean), atol=1e-4)
    await encoder.close()


async def test_a_graph_that_pools_is_taken_at_its_word(tmp_path: Path) -> None:
    encoder = await load(make_encoder(tmp_path / "tiny", WEIGHTS, pooled=True))
    inputs = [[2, 7, 9, 10, 3], [2, 5, 3]]
    for ids, vector in zip(inputs, await encoder.vectors(inputs), strict=True):
        np.testing.assert_allclose(vector, bert_states(WEIGHTS, ids).mean(axis=0), atol=1e-5)
    await encoder.close()


async def test_weights_beside_the_graph(tmp_path: Path) -> None:
    directory = make_encoder(tmp_path / "tiny", WEIGHTS, external=True)
    encoder = await load(directory)
    assert encoder.memory_bytes > 4 * sum(value.size for value in WEIGHTS.values())
    (found,) = await encoder.vectors([[2, 5, 3]])
    np.testing.assert_allclose(found, bert_states(WEIGHTS, [2, 5, 3]).mean(axis=0), atol=1e-5)
    await encoder.close()
    (directory / "onnx" / "model.onnx_data").rename(directory / "weights")
    assert "'model.onnx_data', which is not there" in str(await refused(directory))


@pytest.mark.parametrize("kind", ["upwards", "absolute", "link"])
async def test_weights_outside_of_the_directory_are_not_read(tmp_path: Path, kind: str) -> None:
    directory = make_encoder(tmp_path / "tiny", WEIGHTS, external=True)
    data = directory / "onnx" / "model.onnx_data"
    outside = tmp_path / "secret"
    shutil.move(data, outside)
    location = {"upwards": "../../secret", "absolute": str(outside), "link": data.name}[kind]
    if kind == "link":
        data.symlink_to(outside)
    model = onnx.load(directory / "onnx" / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (directory / "onnx" / "model.onnx").write_bytes(model.SerializeToString())
    assert "outside of the model's directory" in str(await refused(directory))


async def test_what_is_refused_by_name(tmp_path: Path) -> None:
    directory = make_encoder(tmp_path / "tiny", WEIGHTS)
    modules = json.loads((directory / "modules.json").read_text())

    def module(kind: str, path: str = "") -> None:
        changed = [*modules, {"idx": 9, "name": "9", "path": path, "type": kind}]
        write_json(directory / "modules.json", changed)

    module("custom_code.Thinker")
    error = await refused(directory)
    assert "would need code from the model's repository" in str(error)
    assert error.reason is Reason.MODEL_UNSUPPORTED
    module("sentence_transformers.models.LSTM")
    assert "the module 'LSTM' is not supported" in str(await refused(directory))
    module("sentence_transformers.models.Dense", "../elsewhere")
    assert "'../elsewhere' is no directory beside it" in str(await refused(directory))
    write_json(directory / "9_Dense" / "config.json", {"in_features": 32, "out_features": 8})
    (directory / "9_Dense" / "pytorch_model.bin").write_bytes(b"pickle")
    module("sentence_transformers.models.Dense", "9_Dense")
    assert "weights in pickles are never read" in str(await refused(directory))
    write_json(directory / "modules.json", modules)
    write_json(directory / "1_Pooling" / "config.json", {"pooling_mode": "weightedmean"})
    assert "pooling by weightedmean is not supported" in str(await refused(directory))
    (directory / "1_Pooling" / "config.json").unlink()
    (directory / "onnx" / "model.onnx").write_bytes(b"\x08\x07 nothing of the kind")
    assert "not an ONNX model" in str(await refused(directory))
    (directory / "onnx" / "model.onnx").unlink()
    error = await refused(directory)
    assert "without an ONNX file; export it" in str(error)
    assert error.reason is Reason.MODEL_UNSUPPORTED


async def test_graphs_with_other_inputs_and_outputs(tmp_path: Path) -> None:
    directory = make_encoder(tmp_path / "tiny", WEIGHTS)
    path = directory / "onnx" / "model.onnx"
    model = onnx.load(path)
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("pixel_values", onnx.TensorProto.FLOAT, ["batch", 3])
    )
    onnx.save(model, path)
    assert "takes the input pixel_values" in str(await refused(directory))
    model = onnx.load(path)
    del model.graph.input[-1]
    model.graph.output[0].name = "logits"
    model.graph.node[-1].output[0] = "logits"
    onnx.save(model, path)
    assert "gives logits" in str(await refused(directory))


async def test_the_queue_is_bounded_and_closing_ends_what_runs(tmp_path: Path) -> None:
    encoder = await load(make_encoder(tmp_path / "tiny", WEIGHTS, longest=64), max_queue=1)
    inputs = [[7] * 64] * 2048
    calls = [asyncio.create_task(encoder.vectors(inputs)) for _ in range(3)]
    await asyncio.wait({calls[2]})
    with pytest.raises(ServiceError) as caught:
        await calls[2]
    assert caught.value.reason is Reason.QUEUE_FULL
    await encoder.close("the model me/tiny is gone")
    for call in calls[:2]:
        with pytest.raises(ServiceError, match="me/tiny is gone"):
            await call
    assert encoder.active == 0


def test_batches_hold_texts_of_like_length() -> None:
    lengths = [5, 100, 7, 3, 90, 1000, 4]
    found = list(batches(lengths, 200))
    assert sorted(index for batch in found for index in batch) == list(range(7))
    assert found == [[3, 6, 0, 2], [4, 1], [5]]
    assert list(batches([], 10)) == []
