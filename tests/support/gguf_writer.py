"""Writes GGUF files: what converters make of a packed Hugging Face checkpoint."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 32
_LINEARS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.attn_sub_norm": "attn_sub_norm",
    "mlp.ffn_sub_norm": "ffn_sub_norm",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    **{f"{module}.norm": f"{name}_norm_in" for module, name in _LINEARS.items()},
}

_TABLES = {"model.embed_tokens": "token_embd.weight", "lm_head": "output.weight"}

Tensor = tuple[tuple[int, ...], int, bytes]
"""Shape (rows first), ggml's number of the type, bytes."""


Scales = Any
"""One number, or [rows, groups of columns]."""


def i2_s(trits: Any, scale: float) -> Tensor:
    """Microsoft's: 128 values in 32 bytes, highest bits first, one scale behind all."""
    codes = (trits + 1).astype(np.uint8).reshape(-1, 4, 32)
    data = codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]
    tail = np.array([scale], "<f4").tobytes().ljust(32, b"\0")
    return trits.shape, 36, data.tobytes() + tail


def tq2_0(trits: Any, scale: Scales) -> Tensor:
    codes = (trits + 1).astype(np.uint8).reshape(-1, 2, 4, 32)
    data = codes[:, :, 0] | codes[:, :, 1] << 2 | codes[:, :, 2] << 4 | codes[:, :, 3] << 6
    return (
        trits.shape,
        35,
        _with_scale(data.reshape(-1, 64), _blocks(trits, scale, 256), behind=True),
    )


def q2_0(trits: Any, scale: Scales) -> Tensor:
    return trits.shape, 42, _in_order(trits, scale, 64)


def pq2_0(trits: Any, scale: Scales) -> Tensor:
    """Under the number of Q2_0, as the vendor's older files have it."""
    return trits.shape, 42, _in_order(trits, scale, 128)


def f16(values: Any) -> Tensor:
    return values.shape, 1, values.astype("<f2").tobytes()


def f32(values: Any) -> Tensor:
    return values.shape, 0, values.astype("<f4").tobytes()


def pq2_0_new(trits: Any, scale: Scales) -> Tensor:
    """Under a number of its own."""
    return trits.shape, 142, _in_order(trits, scale, 128)


def _blocks(trits: Any, scale: Scales, group: int) -> Any:
    """A scale for every block of `group` values."""
    rows, cols = trits.shape
    if np.ndim(scale) < 2:
        return np.full(rows * cols // group, scale)
    by_value = np.repeat(scale, -(-cols // scale.shape[1]), axis=1)[:, :cols]
    return by_value[:, ::group].reshape(-1)


def _in_order(trits: Any, scale: Scales, group: int) -> bytes:
    codes = (trits + 1).astype(np.uint8).reshape(-1, group // 4, 4)
    data = codes[..., 0] | codes[..., 1] << 2 | codes[..., 2] << 4 | codes[..., 3] << 6
    return _with_scale(data, _blocks(trits, scale, group), behind=False)


def _with_scale(data: Any, scales: Any, *, behind: bool) -> bytes:
    half = np.asarray(scales, "<f2").view(np.uint8).reshape(len(data), 2)
    return bytes(np.concatenate([data, half] if behind else [half, data], axis=1).tobytes())


def write_gguf(
    path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], version: int = 3
) -> None:
    """The container, byte by byte."""
    head = [b"GGUF", struct.pack("<IQQ", version, len(tensors), len(metadata))]
    for key, value in metadata.items():
        head += [_text(key), _value(value)]
    at, data = 0, []
    for name, (shape, number, raw) in tensors.items():
        head += [_text(name), struct.pack("<I", len(shape))]
        head += [struct.pack("<Q", size) for size in reversed(shape)]
        head.append(struct.pack("<IQ", number, at))
        padded = raw.ljust(-(-len(raw) // ALIGNMENT) * ALIGNMENT, b"\0")
        data.append(padded)
        at += len(padded)
    header = b"".join(head)
    header = header.ljust(-(-len(header) // ALIGNMENT) * ALIGNMENT, b"\0")
    path.write_bytes(header + b"".join(data))


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _text(value)
        case list() if isinstance(value[0], str):
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
        case list() if isinstance(value[0], float):
            return struct.pack("<IIQ", 9, 6, len(value)) + np.array(value, "<f4").tobytes()
        case list():
            return struct.pack("<IIQ", 9, 5, len(value)) + np.array(value, "<i4").tobytes()
    raise AssertionError(value)


def gguf_of(
    checkpoint: Path,
    pack: Callable[[Any, Any], Tensor],
    *,
    architecture: str = "bitnet-b1.58",
    vocabulary: bool = True,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a converter would make of a packed checkpoint, whose scale must multiply."""
    config = json.loads((checkpoint / "config.json").read_text())
    source = read_safetensors(checkpoint / "model.safetensors")
    tensors: dict[str, Tensor] = {}
    for name, values in source.items():
        module = name.removesuffix(".weight")
        if name.endswith("_scale"):
            continue
        if module in _TABLES:
            tensors[_TABLES[module]] = (
                pack(_unpack(values), _floats(source[f"{name}_scale"]))
                if values.dtype == np.uint8
                else f32(_floats(values))
            )
        elif module == "model.norm":
            tensors["output_norm.weight"] = f32(_floats(values))
        else:
            _, _, layer, rest = module.split(".", 3)
            if rest in _NORMS:
                tensors[f"blk.{layer}.{_NORMS[rest]}.weight"] = f32(_floats(values))
                continue
            trits = _unpack(values)
            if architecture == "llama" and rest in ("self_attn.q_proj", "self_attn.k_proj"):
                key = "num_attention_heads" if "q_proj" in rest else "num_key_value_heads"
                trits = _in_pairs(trits, config[key])
            scales = _floats(source[f"{name}_scale"])
            scale = float(scales[0]) if scales.ndim == 1 else scales
            tensors[f"blk.{layer}.{_LINEARS[rest]}.weight"] = pack(trits, scale)
    return _metadata(checkpoint, config, architecture, vocabulary), tensors


def _metadata(
    checkpoint: Path, config: Mapping[str, Any], architecture: str, vocabulary: bool
) -> dict[str, Any]:
    heads = config["num_attention_heads"]
    metadata: dict[str, Any] = {
        "general.architecture": architecture,
        f"{architecture}.block_count": config["num_hidden_layers"],
        f"{architecture}.context_length": config["max_position_embeddings"],
        f"{architecture}.embedding_length": config["hidden_size"],
        f"{architecture}.feed_forward_length": config["intermediate_size"],
        f"{architecture}.attention.head_count": heads,
        f"{architecture}.attention.head_count_kv": config["num_key_value_heads"],
        f"{architecture}.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        f"{architecture}.attention.key_length": config.get(
            "head_dim", config["hidden_size"] // heads
        ),
        f"{architecture}.rope.freq_base": float(config["rope_theta"]),
    }
    if vocabulary:
        tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
        settings = json.loads((checkpoint / "tokenizer_config.json").read_text())
        ids = {**tokenizer["model"]["vocab"]}
        ids.update({each["content"]: each["id"] for each in tokenizer["added_tokens"]})
        tokens = [text for text, _ in sorted(ids.items(), key=lambda each: each[1])]
        special = {each["content"] for each in tokenizer["added_tokens"]}
        metadata |= {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "qwen2",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3 if text in special else 1 for text in tokens],
            "tokenizer.ggml.merges": [_merge(each) for each in tokenizer["model"]["merges"]],
            "tokenizer.ggml.bos_token_id": ids[settings["bos_token"]],
            "tokenizer.ggml.eos_token_id": ids[settings["eos_token"]],
            "tokenizer.chat_template": settings["chat_template"],
        }
    return metadata


def _merge(merge: str | Sequence[str]) -> str:
    return merge if isinstance(merge, str) else " ".join(merge)


def _floats(values: Any) -> Any:
    return np.asarray(values, dtype=np.float32)


def _unpack(packed: Any) -> Any:
    """[rows / 4, columns] bytes to trits [rows, columns]."""
    return np.concatenate([(packed >> 2 * i & 3).astype(np.int8) - 1 for i in range(4)])


def _in_pairs(trits: Any, heads: int) -> Any:
    """Rows as llama.cpp's converter stores them for interleaved rotary embeddings."""
    rows, cols = trits.shape
    halves = trits.reshape(heads, 2, rows // heads // 2, cols)
    return halves.swapaxes(1, 2).reshape(rows, cols)


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file; bf16 becomes float32, which numpy knows."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    found: dict[str, Any] = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        data = raw[8 + length + begin : 8 + length + end]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            kinds = {"U8": "u1", "F32": "<f4", "F16": "<f2"}
            values = np.frombuffer(data, kinds[entry["dtype"]])
        found[name] = values.reshape(entry["shape"])
    return found
