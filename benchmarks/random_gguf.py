"""Writes a GGUF file with random ternary weights in the shape of a BitNet model.

    random_gguf.py OUTPUT WEIGHTS HEAD SHAPE

WEIGHTS is TQ1_0 or TQ2_0. HEAD is the type of the token embeddings, which are the output head, too:
F16, Q8_0, Q6_K or Q4_0. SHAPE is JSON with the fields of `Shape`. Blocks are filled with random
codes and one small scale: speed does not depend on them. Runs where `gguf` is installed; imports
nothing else of this repository.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

# Where the float16 scales lie in a block: (first byte, how many).
_SCALES = {"TQ1_0": (52, 1), "TQ2_0": (64, 1), "Q8_0": (0, 1), "Q6_K": (208, 1), "Q4_0": (0, 1)}
_SCALE = np.frombuffer(np.float16(0.01).tobytes(), np.uint8)


def random_blocks(kind: str, rows: int, cols: int, random: np.random.Generator) -> Bytes:
    """[rows, bytes of a row] of valid blocks."""
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    count = rows * cols // block
    if kind == "F16":
        values = (random.random((rows, cols), np.float32) - 0.5) * 0.04
        return values.astype(np.float16).view(np.uint8)
    data = random.integers(0, 256, (count, size), np.uint8)
    if kind == "TQ2_0":
        data &= ~(data >> 1 & 0x55)  # codes 0 to 2
    begin, scales = _SCALES[kind]
    for number in range(scales):
        data[:, begin + 2 * number : begin + 2 * number + 2] = _SCALE
    return data.reshape(rows, cols // block * size)


def tensors(shape: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Name, rows and columns of each ternary matrix."""
    hidden, wide = shape["hidden"], shape["intermediate"]
    kv_width = shape["kv_heads"] * shape["head_dim"]
    found = []
    for layer in range(shape["layers"]):
        found += [
            (f"blk.{layer}.attn_q.weight", hidden, hidden),
            (f"blk.{layer}.attn_k.weight", kv_width, hidden),
            (f"blk.{layer}.attn_v.weight", kv_width, hidden),
            (f"blk.{layer}.attn_output.weight", hidden, hidden),
            (f"blk.{layer}.ffn_gate.weight", wide, hidden),
            (f"blk.{layer}.ffn_up.weight", wide, hidden),
            (f"blk.{layer}.ffn_down.weight", hidden, wide),
        ]
    return found


def write(output: Path, weights: str, head: str, shape: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(output, "bitnet")
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["hidden"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["intermediate"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_layer_norm_rms_eps(shape["eps"])
    writer.add_rope_freq_base(shape["rope_theta"])
    writer.add_rope_dimension_count(shape["head_dim"])
    writer.add_vocab_size(shape["vocab"])
    writer.add_tokenizer_model("no_vocab")

    def add(name: str, kind: str, rows: int, cols: int) -> None:
        data = random_blocks(kind, rows, cols, random)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[kind])

    def add_norm(name: str, size: int) -> None:
        writer.add_tensor(name, np.ones(size, np.float32))

    add("token_embd.weight", head, shape["vocab"], shape["hidden"])
    add_norm("output_norm.weight", shape["hidden"])
    for layer in range(shape["layers"]):
        for name in ("attn_norm", "attn_sub_norm", "ffn_norm"):
            add_norm(f"blk.{layer}.{name}.weight", shape["hidden"])
        add_norm(f"blk.{layer}.ffn_sub_norm.weight", shape["intermediate"])
    for name, rows, cols in tensors(shape):
        add(name, weights, rows, cols)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    partial = Path(sys.argv[1]).with_suffix(".partial")
    write(partial, sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
    partial.replace(sys.argv[1])
