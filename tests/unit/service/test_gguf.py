"""GGUF files: what is read, what it becomes, and what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sterna_service.errors import ModelLoadError
from sterna_service.inference.tokenizer import load_tokenizer
from sterna_service.models.catalogue import Catalogue, ModelSource
from sterna_service.models.description import describe
from sterna_service.models.gguf import blocks
from sterna_service.models.gguf.container import read_gguf
from sterna_service.models.gguf.convert import checkpoint_of
from sterna_service.models.synthetic.checkpoint import make_checkpoint
from sterna_service.models.synthetic.shapes import Shape
from tests.support.gguf_writer import (
    f16,
    gguf_of,
    i2_s,
    pq2_0,
    q2_0,
    read_safetensors,
    tq2_0,
    write_gguf,
)

BITNET = Shape("bitnet", "multiply", 256, 512, 2, 4, 2, 64, 320)
LLAMA = Shape("llama", "multiply", 256, 512, 2, 4, 2, 64, 320, tied=False)


def converted(path: Path, home: Path) -> dict[str, Any]:
    return read_safetensors(checkpoint_of(path, home) / "model.safetensors")


@pytest.mark.parametrize("pack", [i2_s, tq2_0, q2_0, pq2_0])
@pytest.mark.parametrize(("shape", "architecture"), [(BITNET, "bitnet-25"), (LLAMA, "llama")])
def test_weights_come_back(tmp_path: Path, pack: Any, shape: Shape, architecture: str) -> None:
    source = tmp_path / "source"
    make_checkpoint(source, shape, 7)
    metadata, tensors = gguf_of(source, pack, architecture=architecture, vocabulary=False)
    metadata |= {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["t", "1", *(f"t{i}" for i in range(318))],
        "tokenizer.ggml.merges": ["t 1"],
    }
    path = tmp_path / "model.gguf"
    write_gguf(path, metadata, tensors)
    expected, found = read_safetensors(source / "model.safetensors"), converted(path, tmp_path)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if name.endswith("_scale") and pack is not i2_s:
            values = values.astype(np.float16)
        np.testing.assert_array_equal(
            found[name], np.asarray(values, found[name].dtype).reshape(found[name].shape), name
        )
    config = json.loads((checkpoint_of(path, tmp_path) / "config.json").read_text())
    original = json.loads((source / "config.json").read_text())
    for key in ("architectures", "hidden_act", "hidden_size", "rope_theta", "rms_norm_eps"):
        assert config[key] == original[key]


def test_other_types_decode_as_the_reference_library_decodes_them() -> None:
    random = np.random.default_rng(1)
    scale_at = {"Q8_0": 0, "Q4_0": 0, "Q6_K": 208, "TQ1_0": 52, "TQ2_0": 64}
    for name, at in scale_at.items():
        kind = getattr(blocks, name)
        raw = random.integers(0, 256, (64, kind.size), dtype=np.uint8)
        raw[:, at : at + 2] = random.random((64, 1)).astype("<f2").view(np.uint8)
        expected = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name])
        if kind.floats is not None:
            ours = kind.floats(raw)
        else:
            trits, scales = kind.trits(raw)
            ours = trits * scales[:, None]
        np.testing.assert_array_equal(ours, expected.reshape(ours.shape), name)


@pytest.fixture
def embedded(checkpoint: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tern.gguf"
    write_gguf(path, *gguf_of(checkpoint, i2_s))
    return path


def test_the_tokenizer_is_the_same(embedded: Path, checkpoint: Path, tmp_path: Path) -> None:
    theirs = load_tokenizer(checkpoint, 4096)
    ours = load_tokenizer(checkpoint_of(embedded, tmp_path), 4096)
    texts = [
        "What is the capital of France?",
        "I'm 12 years old, and you're 345!",
        "naïve café — ½ 🙂 日本語\n\n  two  spaces\t",
        "<|eot_id|>Assistant: <|begin_of_text|>",
    ]
    for text in texts:
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(
            text, add_special_tokens=False
        )
        assert ours.encode_plain(text) == theirs.encode_plain(text)
    assert ours.end_tokens == theirs.end_tokens
    assert ours.control_tokens == theirs.control_tokens
    assert ours.named_tokens["bos_token"] == theirs.named_tokens["bos_token"]


def test_a_vocabulary_of_sentence_pieces(checkpoint: Path, tmp_path: Path) -> None:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    types = [2, 3, 3, *[6] * 256]
    scores = [0.0] * 259
    for rank, piece in enumerate(["▁", "h", "e", "l", "o", "he", "ll", "hell", "hello", "▁hello"]):
        pieces.append(piece)
        types.append(1)
        scores.append(-float(rank))
    metadata, tensors = gguf_of(checkpoint, i2_s, vocabulary=False)
    metadata |= {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    path = tmp_path / "pieces.gguf"
    write_gguf(path, metadata, tensors)
    tokenizer = load_tokenizer(checkpoint_of(path, tmp_path), len(pieces))
    ids = tokenizer.encode("hello é")
    assert ids[:2] == [1, pieces.index("▁hello")]
    assert ids[2:] == [pieces.index("▁"), pieces.index("<0xC3>"), pieces.index("<0xA9>")]
    assert tokenizer.decode(ids[1:]) == "hello é"


def test_microsofts_template_is_corrected(checkpoint: Path, tmp_path: Path) -> None:
    metadata, tensors = gguf_of(checkpoint, i2_s)
    metadata["tokenizer.chat_template"] = "Human: {{ messages }}\n\nBITNETAssistant:"
    path = tmp_path / "model.gguf"
    write_gguf(path, metadata, tensors)
    text = (checkpoint_of(path, tmp_path) / "tokenizer_config.json").read_text()
    template = json.loads(text)["chat_template"]
    assert "BITNETAssistant" not in template
    assert "Assistant: " in template


def test_it_is_converted_once_and_described(embedded: Path, tmp_path: Path) -> None:
    first = checkpoint_of(embedded, tmp_path)
    stamp = (first / "config.json").stat().st_mtime_ns
    assert checkpoint_of(embedded, tmp_path) == first
    assert (first / "config.json").stat().st_mtime_ns == stamp
    described = describe(Catalogue(tmp_path).add(embedded))
    assert described.problem == ""
    assert (described.format, described.quantization) == ("gguf", "ternary I2_S")
    assert described.source.model_id == "tern"
    assert described.template_name
    assert described.shape.hidden_size == 192


def variants(metadata: dict[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
    """What is wrong, by what the refusal must say."""
    linear = "blk.0.attn_q.weight"
    shape, number, data = tensors[linear]
    trits = np.full((192, 192), 2, np.int8)
    return {
        "not supported; supported": (metadata | {"general.architecture": "mamba"}, tensors),
        "hadamard": (metadata | {"prism.hadamard.version": 1}, tensors),
        "block_count": (metadata | {"bitnet-b1.58.block_count": 0}, tensors),
        "head_count": (
            {k: v for k, v in metadata.items() if not k.endswith("attention.head_count")},
            tensors,
        ),
        "code 3": (metadata, tensors | {linear: i2_s(trits, 1.0)}),
        "scale nan": (metadata, tensors | {linear: i2_s(trits * 0, float("nan"))}),
        "only ternary": (metadata, tensors | {linear: f16(np.zeros(shape))}),
        "not part of": (metadata, tensors | {"blk.0.attn_q.bias": f16(np.zeros(192))}),
        "do not fit": (metadata, tensors | {linear: (shape, number, data[:100])}),
        "type 99": (metadata, tensors | {linear: (shape, 99, data)}),
        "type 16": (metadata, tensors | {linear: (shape, 16, data)}),
        "tokenizer.ggml.pre": (metadata | {"tokenizer.ggml.pre": "dbrx"}, tensors),
        "tokenizer.ggml.model": (metadata | {"tokenizer.ggml.model": "t5"}, tensors),
        "tokenizer.ggml.tokens": (
            {k: v for k, v in metadata.items() if k != "tokenizer.ggml.tokens"},
            tensors,
        ),
        "general.alignment": (metadata | {"general.alignment": 3}, tensors),
    }


@pytest.mark.parametrize(
    "words",
    [
        "not supported; supported",
        "hadamard",
        "block_count",
        "head_count",
        "code 3",
        "scale nan",
        "only ternary",
        "not part of",
        "do not fit",
        "type 99",
        "type 16",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.model",
        "tokenizer.ggml.tokens",
        "general.alignment",
    ],
)
def test_what_is_refused(checkpoint: Path, tmp_path: Path, words: str) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, *variants(*gguf_of(checkpoint, i2_s))[words])
    with pytest.raises(ModelLoadError) as caught:
        checkpoint_of(path, tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [each for each in (tmp_path / "converted").iterdir() if each.is_dir()]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"GGUF",
        b"GGML" + bytes(20),
        b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**63),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 0, 2**62),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 9, 1),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<I", 77),
        b"GGUF" + struct.pack("<IQQQ", 3, 1, 0, 1) + b"a" + struct.pack("<I", 9),
    ],
)
def test_damaged_containers(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(raw)
    with pytest.raises(ModelLoadError):
        read_gguf(path)
    assert describe(ModelSource("x", path)).problem


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=8))
@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_damage_is_a_refusal_or_harmless(embedded: Path, at: int, new: bytes) -> None:
    whole = embedded.read_bytes()
    damaged = embedded.with_name("damaged.gguf")
    damaged.write_bytes(whole[:at] + new + whole[at + len(new) :])
    try:
        read_gguf(damaged)
    except ModelLoadError:
        return
