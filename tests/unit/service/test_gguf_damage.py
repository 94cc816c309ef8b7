"""GGUF files that were made to do harm, or came out wrong: refused by name, and soon."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sterna_service.errors import ModelLoadError, Reason
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.description import describe
from sterna_service.models.gguf.container import read_gguf
from sterna_service.models.gguf.convert import checkpoint_of
from sterna_service.models.synthetic.checkpoint import make_checkpoint
from sterna_service.models.synthetic.shapes import Shape
from tests.support.gguf_writer import f32, gguf_of, i2_s, q2_0, read_safetensors, write_gguf

BITNET = Shape("bitnet", "multiply", 256, 512, 1, 4, 2, 64, 320)
GROUPED = Shape("qwen3", "packed-groups", 256, 512, 1, 4, 2, 64, 320)
TOKENS = ["t", "1", *(f"t{i}" for i in range(318))]
VOCABULARY = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.merges": ["t 1"],
}
QUERY = "blk.0.attn_q.weight"


def file_of(tmp_path: Path, shape: Shape, pack: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    source = tmp_path / "source"
    make_checkpoint(source, shape, 7)
    architecture = "qwen3" if shape is GROUPED else "bitnet-25"
    metadata, tensors = gguf_of(source, pack, architecture=architecture, vocabulary=False)
    return metadata | VOCABULARY, tensors


def refused(tmp_path: Path, metadata: dict[str, Any], tensors: dict[str, Any]) -> ModelLoadError:
    path = tmp_path / "model.gguf"
    write_gguf(path, metadata, tensors)
    # Lists of models describe it, whatever it is.
    assert describe(ModelSource("x", path)).size_bytes
    with pytest.raises(ModelLoadError) as caught:
        checkpoint_of(path, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return caught.value


def beginning_with(token: str) -> dict[str, Any]:
    return {
        "tokenizer.ggml.tokens": [*TOKENS[:-1], token],
        "tokenizer.ggml.bos_token_id": 319,
        "tokenizer.ggml.add_bos_token": True,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {
                "bitnet-25.rope.scaling.type": "yarn",
                "bitnet-25.rope.scaling.factor": 0.0,
                "bitnet-25.rope.scaling.attn_factor": 2.0,
            },
            "rope.scaling.factor is 0.0",
        ),
        ({"tokenizer.ggml.pre": ["llama3"]}, "tokenizer.ggml.pre"),
        ({"tokenizer.ggml.pre": ["x" * 100] * 1000}, "tokenizer.ggml.pre"),
        ({"bitnet-25.block_count": ["x" * 100] * 1000}, "block_count"),
        ({"general.architecture": "x" * 10_000}, "architecture"),
        (beginning_with("a:b"), "'a:b'"),
        (beginning_with(":0"), "':0'"),
        ({"split.count": 3}, "join them"),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    metadata, tensors = file_of(tmp_path, BITNET, i2_s)
    assert words in str(refused(tmp_path, metadata | changes, tensors))


@pytest.mark.parametrize(
    "name",
    [
        f"blk.{'9' * 5000}.attn_q.weight",
        "blk.00.attn_q.weight",
        "blk.\u0661.attn_q.weight",
        "token_embd.scale",
        "blk.7.attn_q.scale",
    ],
)
def test_tensors_that_have_no_place(tmp_path: Path, name: str) -> None:
    """Numbers of layers are spelled in one way, so that no two tensors become one."""
    metadata, tensors = file_of(tmp_path, BITNET, i2_s)
    extra = f32(np.ones(1, np.float32)) if name.endswith("scale") else tensors[QUERY]
    error = refused(tmp_path, metadata, tensors | {name: extra})
    assert error.reason is Reason.MODEL_UNSUPPORTED


def test_types_of_other_files_are_told_by_name(tmp_path: Path) -> None:
    metadata, tensors = file_of(tmp_path, BITNET, i2_s)
    shape, _, data = tensors[QUERY]
    error = refused(tmp_path, metadata, tensors | {QUERY: (shape, 12, data)})
    assert error.reason is Reason.MODEL_UNSUPPORTED
    assert "12 (Q4_K)" in str(error)
    assert "TQ2_0" in str(error)


def container_of(count: int, step: int) -> bytes:
    """A container with so many tensors of eight floats, each `step` bytes after the last."""
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, count, 0))
    for index in range(count):
        name = f"t{index}".encode()
        head += struct.pack("<Q", len(name)) + name
        head += struct.pack("<IQIQ", 1, 8, 0, step * index)
    head += bytes(-len(head) % 32)
    return bytes(head) + bytes(32 * count)


@pytest.mark.timeout(120)
def test_many_tensors_are_read_in_time(tmp_path: Path) -> None:
    """Each compared with each other would take many minutes."""
    path = tmp_path / "model.gguf"
    path.write_bytes(container_of(100_000, 32))
    assert len(read_gguf(path).tensors) == 100_000


def test_tensors_share_no_bytes(tmp_path: Path) -> None:
    """Else a small file could fill a disk."""
    path = tmp_path / "model.gguf"
    path.write_bytes(container_of(100, 0))
    with pytest.raises(ModelLoadError, match="same place"):
        read_gguf(path)


def test_blocks_of_zeros_need_no_scale(tmp_path: Path) -> None:
    """Such a block has no say in the scale of its group, wherever in the group it stands."""
    metadata, tensors = file_of(tmp_path, GROUPED, q2_0)
    name, shape = "blk.0.ffn_down.weight", (256, 512)
    trits = np.ones(shape, np.int8)
    scales = np.full((256, 8), 0.5, np.float32)
    scales[:, 0] = scales[:, 3] = 0
    trits[:, :64] = trits[:, 192:256] = 0
    tensors[name] = q2_0(trits, scales)
    path = tmp_path / "model.gguf"
    write_gguf(path, metadata, tensors)
    found = read_safetensors(checkpoint_of(path, tmp_path) / "model.safetensors")
    assert found["model.layers.0.mlp.up_proj.weight_scale"].shape == (512, 2)
    np.testing.assert_array_equal(
        found["model.layers.0.mlp.down_proj.weight_scale"], np.full((256, 4), 0.5, np.float32)
    )
