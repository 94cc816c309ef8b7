"""GGUF files in the layout of those that are published: the same logits as the checkpoint gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sterna_service.inference.tokenizer import load_tokenizer
from sterna_service.models.gguf.convert import checkpoint_of
from sterna_service.models.store import wanted
from sterna_service.models.synthetic.checkpoint import make_checkpoint
from sterna_service.models.synthetic.shapes import Shape
from tests.parity.numpy_model import read_safetensors
from tests.parity.published import convert
from tests.parity.test_published_layouts import logits_of
from tests.support.gguf_writer import (
    Tensor,
    f16,
    gguf_of,
    i2_s,
    pq2_0,
    pq2_0_new,
    tq2_0,
    write_gguf,
)

# What every file has.
_COMMON: dict[str, Any] = {"general.quantization_version": 2}


@dataclass(frozen=True)
class Layout:
    """What a file is made of, beside what every converter writes."""

    shape: Shape
    architecture: str
    pack: Callable[[Any, Any], Tensor]
    file: str
    metadata: dict[str, Any] = field(default_factory=dict)
    """Keys behind the architecture's name, and others in full."""
    lacks: tuple[str, ...] = ()
    """Keys that the writer of the tests sets and the file does not have."""


LAYOUTS = {
    "microsoft/bitnet-b1.58-2B-4T-gguf": Layout(
        Shape("bitnet", "multiply", 128, 384, 2, 2, 1, 64, 389, rope_theta=5e5),
        "bitnet-b1.58",
        i2_s,
        "ggml-model-i2_s.gguf",
        {
            ".vocab_size": 389,
            ".rope.dimension_count": 64,
            "general.name": "bitnet2b",
            "general.file_type": 40,
            "tokenizer.ggml.add_bos_token": True,
            "tokenizer.ggml.padding_token_id": 2,
        },
        lacks=("bitnet-b1.58.attention.key_length", "tokenizer.ggml.pre"),
    ),
    "tiiuae/Falcon-E-1B-Instruct-GGUF": Layout(
        Shape("llama", "multiply", 128, 384, 2, 4, 2, 32, 389, rope_theta=5e5, tied=False),
        "llama",
        i2_s,
        "ggml-model-i2_s.gguf",
        {
            ".vocab_size": 389,
            ".rope.dimension_count": 32,
            "general.file_type": 40,
            "tokenizer.ggml.pre": "falcon_e",
        },
        lacks=("llama.attention.key_length",),
    ),
    "tiiuae/Falcon3-7B-Instruct-1.58bit-GGUF": Layout(
        Shape("llama", "multiply", 128, 384, 2, 2, 1, 256, 389, rope_theta=1000042, tied=False),
        "llama",
        i2_s,
        "ggml-model-i2_s.gguf",
        {
            ".vocab_size": 389,
            ".rope.dimension_count": 256,
            ".attention.value_length": 256,
            "general.file_type": 40,
            "tokenizer.ggml.pre": "falcon3",
        },
    ),
    "prism-ml/Ternary-Bonsai-1.7B-gguf": Layout(
        Shape("qwen3", "packed-groups", 256, 384, 2, 4, 2, 64, 392, rope_theta=1e6, eps=1e-6),
        "qwen3",
        pq2_0,
        "Ternary-Bonsai-1.7B-Q2_0.gguf",
        {
            ".attention.value_length": 64,
            "general.name": "Ternary-Bonsai-1.7B",
            "tokenizer.ggml.add_bos_token": False,
        },
    ),
    "prism-ml/Ternary-Bonsai-8B-gguf": Layout(
        Shape(
            "qwen3",
            "packed-groups",
            256,
            384,
            2,
            4,
            2,
            64,
            392,
            rope_theta=1e6,
            eps=1e-6,
            tied=False,
            rope_scaling={
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 64,
            },
        ),
        "qwen3",
        pq2_0_new,
        "Ternary-Bonsai-8B-PQ2_0.gguf",
        {
            ".attention.value_length": 64,
            ".rope.scaling.type": "yarn",
            ".rope.scaling.factor": 4.0,
            ".rope.scaling.original_context_length": 64,
        },
    ),
    "openbmb/BitCPM-CANN-1B-gguf": Layout(
        Shape("llama", "multiply", 256, 512, 2, 4, 2, 64, 389),
        "llama",
        tq2_0,
        "BitCPM-CANN-1B-TQ2_0.gguf",
        {".rope.dimension_count": 64, "general.file_type": 37},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_gives_the_logits_of_its_checkpoint(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    source = tmp_path / "source"
    make_checkpoint(source, layout.shape, 5)
    # Tables are halves in the files; here they are in the checkpoint, too.
    convert(source / "model.safetensors", "F16")
    metadata, tensors = gguf_of(source, layout.pack, architecture=layout.architecture)
    tables = read_safetensors(source / "model.safetensors")
    for table, module in (("token_embd", "model.embed_tokens"), ("output", "lm_head")):
        values = tables.get(f"{module}.weight")
        if values is not None and values.dtype == np.float32:
            tensors[f"{table}.weight"] = f16(values)
    for key, value in (_COMMON | layout.metadata).items():
        metadata[f"{layout.architecture}{key}" if key.startswith(".") else key] = value
    for key in layout.lacks:
        del metadata[key]
    repository = tmp_path / "repository"
    repository.mkdir()
    write_gguf(repository / layout.file, metadata, tensors)
    assert wanted([layout.file, "README.md"]) == sorted([layout.file, "README.md"])

    converted = checkpoint_of(repository, tmp_path / "home")
    _, actual = logits_of(converted)
    _, expected = logits_of(source)
    np.testing.assert_array_equal(actual, expected)
    theirs, ours = (load_tokenizer(each, layout.shape.vocab) for each in (source, converted))
    text = "What is the point of that?"
    assert ours.encode(text, add_special_tokens=False) == theirs.encode(
        text, add_special_tokens=False
    )
    assert ours.end_tokens == theirs.end_tokens
