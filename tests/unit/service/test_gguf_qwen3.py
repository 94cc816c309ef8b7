"""GGUF files of the Qwen3 architecture: scales by groups, norms inside linears, rotary scaling."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sterna_service.engine import _native
from sterna_service.errors import ModelLoadError
from sterna_service.models.gguf.convert import checkpoint_of
from sterna_service.models.synthetic.checkpoint import make_checkpoint
from sterna_service.models.synthetic.shapes import Shape
from tests.support.gguf_writer import (
    f16,
    f32,
    gguf_of,
    i2_s,
    pq2_0,
    pq2_0_new,
    q2_0,
    read_safetensors,
    tq2_0,
    write_gguf,
)

GROUPED = Shape("qwen3", "packed-groups", 256, 512, 2, 4, 2, 64, 320, tied=False)
VOCABULARY = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["t", "1", *(f"t{i}" for i in range(318))],
    "tokenizer.ggml.merges": ["t 1"],
}


def converted(path: Path, home: Path) -> dict[str, Any]:
    return read_safetensors(checkpoint_of(path, home) / "model.safetensors")


def qwen3_file(
    tmp_path: Path, pack: Any, shape: Shape = GROUPED
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    source = tmp_path / "source"
    make_checkpoint(source, shape, 7)
    metadata, tensors = gguf_of(source, pack, architecture="qwen3", vocabulary=False)
    return source, metadata | VOCABULARY, tensors


@pytest.mark.parametrize("pack", [q2_0, pq2_0, pq2_0_new])
def test_scales_of_groups_come_back(tmp_path: Path, pack: Any) -> None:
    """As 64 values with equal neighbours, and as 128 under either number: all are groups of 128."""
    source, metadata, tensors = qwen3_file(tmp_path, pack)
    path = tmp_path / "model.gguf"
    write_gguf(path, metadata, tensors)
    expected, found = read_safetensors(source / "model.safetensors"), converted(path, tmp_path)
    assert found.keys() == expected.keys()
    assert found["model.layers.0.mlp.down_proj.weight_scale"].shape == (256, 4)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], np.asarray(values, found[name].dtype), name)
    ours, original = (
        json.loads((directory / "config.json").read_text())
        for directory in (checkpoint_of(path, tmp_path), source)
    )
    for key in ("architectures", "model_type", "hidden_act", "head_dim"):
        assert ours[key] == original[key]
    assert ours["quantization_config"]["group_size"] == 128
    bundles = [tmp_path / "ours", tmp_path / "theirs"]
    for directory, bundle in zip((checkpoint_of(path, tmp_path), source), bundles, strict=True):
        _native.pack_checkpoint(str(directory), str(bundle))
    assert bundles[0].read_bytes() == bundles[1].read_bytes()


def test_groups_keep_the_size_that_they_have(tmp_path: Path) -> None:
    for pack, size, rescale in ((q2_0, 64, 0.25), (tq2_0, 256, 0.5)):
        home = tmp_path / str(size)
        home.mkdir()
        _, metadata, tensors = qwen3_file(home, pack)
        name = "blk.0.ffn_up.weight"
        shape, number, data = tensors[name]
        changed = bytearray(data)
        at = 0 if pack is q2_0 else 64
        changed[at : at + 2] = np.array([rescale], "<f2").tobytes()
        tensors[name] = (shape, number, bytes(changed))
        path = home / "model.gguf"
        write_gguf(path, metadata, tensors)
        found = converted(path, home)
        scales = found["model.layers.0.mlp.up_proj.weight_scale"]
        assert scales.shape == (512, 256 // size)
        assert scales[0, 0] == rescale
        assert found["model.embed_tokens.weight"].dtype == np.uint8


@pytest.mark.parametrize("names", [["token_embd.weight"], ["token_embd.weight", "output.weight"]])
def test_tables_may_stay_floats(tmp_path: Path, names: list[str]) -> None:
    _, metadata, tensors = qwen3_file(tmp_path, q2_0)
    for name in names:
        tensors[name] = f16(np.ones(tensors[name][0], np.float32))
    path = tmp_path / "model.gguf"
    write_gguf(path, metadata, tensors)
    found = converted(path, tmp_path)
    assert found["model.layers.0.mlp.up_proj.weight_scale"].shape == (512, 2)
    assert found["model.embed_tokens.weight"].shape == (320, 256)
    assert found["model.embed_tokens.weight"].dtype == np.float16
    _native.pack_checkpoint(str(checkpoint_of(path, tmp_path)), str(tmp_path / "bundle"))


def test_a_norm_inside_every_linear(tmp_path: Path) -> None:
    shape = Shape("qwen3", "multiply", 256, 512, 1, 4, 2, 64, 320, projection_norm="norm")
    source, metadata, tensors = qwen3_file(tmp_path, i2_s, shape)
    assert "blk.0.attn_output_norm_in.weight" in tensors
    path = tmp_path / "model.gguf"
    write_gguf(path, metadata, tensors)
    expected, found = read_safetensors(source / "model.safetensors"), converted(path, tmp_path)
    assert found.keys() == expected.keys()
    _native.pack_checkpoint(str(checkpoint_of(path, tmp_path)), str(tmp_path / "bundle"))


@pytest.mark.parametrize(
    ("keys", "factors", "expected"),
    [
        ({"type": "none"}, {}, None),
        ({"type": "linear", "factor": 4.0}, {}, {"rope_type": "linear", "factor": 4.0}),
        (
            {"type": "yarn", "factor": 4.0, "original_context_length": 64},
            {},
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        ),
        (
            {"original_context_length": 64, "attn_factor": 1.25},
            {"rope_factors_long.weight": 3.0, "rope_factors_short.weight": 1.5},
            {
                "rope_type": "longrope",
                "long_factor": [3.0] * 32,
                "short_factor": [1.5] * 32,
                "original_max_position_embeddings": 64,
                "factor": 4.0,
                "attention_factor": 1.25,
            },
        ),
        ({}, {"rope_freqs.weight": 1.0}, None),
        (
            {},
            {"rope_freqs.weight": 2.0},
            {
                "rope_type": "longrope",
                "long_factor": [2.0] * 32,
                "short_factor": [2.0] * 32,
                "original_max_position_embeddings": 256,
                "factor": 1.0,
                "attention_factor": 1.0,
            },
        ),
    ],
)
def test_rotary_scaling(
    tmp_path: Path, keys: dict[str, Any], factors: dict[str, float], expected: Any
) -> None:
    _, metadata, tensors = qwen3_file(tmp_path, pq2_0)
    metadata |= {f"qwen3.rope.scaling.{key}": value for key, value in keys.items()}
    tensors |= {name: f32(np.full(32, value)) for name, value in factors.items()}
    path = tmp_path / "model.gguf"
    write_gguf(path, metadata, tensors)
    directory = checkpoint_of(path, tmp_path)
    assert json.loads((directory / "config.json").read_text()).get("rope_scaling") == expected
    _native.pack_checkpoint(str(directory), str(tmp_path / "bundle"))


@pytest.mark.parametrize(
    ("keys", "factors", "words"),
    [
        ({"type": "su"}, {}, "rope.scaling.type is 'su'"),
        ({"type": "linear"}, {}, "rope.scaling.factor is None"),
        ({}, {"rope_factors_long.weight": 32}, "'rope_factors_short.weight' is missing"),
        ({}, {"rope_freqs.weight": 31}, "must hold 32 F32 numbers"),
        ({"type": "yarn"}, {"rope_freqs.weight": 32}, "beside rope_freqs.weight"),
    ],
)
def test_rotary_scaling_that_is_refused(
    tmp_path: Path, keys: dict[str, Any], factors: dict[str, int], words: str
) -> None:
    _, metadata, tensors = qwen3_file(tmp_path, pq2_0)
    metadata |= {f"qwen3.rope.scaling.{key}": value for key, value in keys.items()}
    tensors |= {name: f32(np.full(count, 2.0)) for name, count in factors.items()}
    path = tmp_path / "model.gguf"
    write_gguf(path, metadata, tensors)
    with pytest.raises(ModelLoadError, match=re.escape(words)):
        checkpoint_of(path, tmp_path)


def test_bad_scales_of_groups_are_refused(tmp_path: Path) -> None:
    _, metadata, tensors = qwen3_file(tmp_path, pq2_0)
    name = "blk.0.ffn_up.weight"
    shape, number, data = tensors[name]
    for scale, words in ((float("nan"), "scale nan"), (-0.5, "scale -0.5")):
        changed = np.array([scale], "<f2").tobytes() + data[2:]
        path = tmp_path / "model.gguf"
        write_gguf(path, metadata, tensors | {name: (shape, number, changed)})
        with pytest.raises(ModelLoadError, match=words):
            checkpoint_of(path, tmp_path)
