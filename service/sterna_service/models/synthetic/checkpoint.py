"""Writes random ternary checkpoints in the formats that the engine reads.

The files are real Hugging Face checkpoints (config.json, model.safetensors, tokenizer.json,
tokenizer_config.json, generation_config.json) with seeded random weights. The same shape and
seed give the same bytes on every machine and with every numpy: all values come from the raw
output of a counter-based generator, through integer arithmetic and single roundings. That is why
golden files can hold outputs only.

Memory stays below about 100 MB, whatever the size of the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sterna_service.models.synthetic.shapes import GROUP, Shape
from sterna_service.models.synthetic.tokenizer import tokenizer_files

Array = npt.NDArray[Any]

DTYPE_BYTES = {"U8": 1, "F16": 2, "BF16": 2, "F32": 4}
CHUNK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class TensorPlan:
    """One tensor to write: its name, its safetensors dtype and shape, and how to fill it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    kind: str  # "codes", "scale", "normal", "norm", "groups"
    std: float = 1.0  # the standard deviation ("normal") or the value ("scale", "groups")

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def nbytes(self) -> int:
        return self.elements * DTYPE_BYTES[self.dtype]


def to_bfloat16(values: Array) -> npt.NDArray[np.uint16]:
    """The bfloat16 bit patterns nearest to float32 `values`, halves to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)


class RandomStream:
    """Random numbers that depend on the seed and the tensor's name only."""

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest[:16], "little"))

    def raw(self, count: int) -> npt.NDArray[np.uint64]:
        return np.asarray(self._bits.random_raw(count), dtype="<u8")

    def codes(self, count: int) -> npt.NDArray[np.uint8]:
        """`count` bytes of four 2-bit codes each, every code one of 0, 1, 2."""
        table = np.zeros(256, dtype=np.uint8)
        for value in range(256):
            trits = value % 81
            for place in range(4):
                table[value] |= (trits % 3) << (2 * place)
                trits //= 3
        return table[self.raw((count + 7) // 8).view(np.uint8)[:count]]

    def normal(self, count: int) -> npt.NDArray[np.float32]:
        """Close to normal, mean 0 and deviation 1: sums of four 16-bit uniforms."""
        parts = self.raw(count).view("<u2").astype(np.int32)
        total = parts[0::4] + parts[1::4] + parts[2::4] + parts[3::4] - 131070
        return total.astype(np.float32) * np.float32(1.0 / 37837.227)


def tensor_chunks(plan: TensorPlan, seed: int) -> Iterator[bytes]:
    """The bytes of one tensor, in pieces of bounded size."""
    stream = RandomStream(seed, plan.name)
    if plan.kind == "groups":
        yield from group_chunks(plan, stream)
        return
    for begin in range(0, plan.elements, CHUNK_ELEMENTS):
        count = min(CHUNK_ELEMENTS, plan.elements - begin)
        if plan.kind == "codes":
            yield stream.codes(count).tobytes()
            continue
        values = stream.normal(count)
        if plan.kind == "norm":
            values = np.float32(1.0) + values * np.float32(0.1)
        elif plan.kind == "scale":
            values = (np.float32(1.0) + values * np.float32(0.1)) * np.float32(plan.std)
        else:
            values = values * np.float32(plan.std)
        if plan.dtype == "BF16":
            yield to_bfloat16(values).astype("<u2").tobytes()
        elif plan.dtype == "F16":
            yield values.astype("<f2").tobytes()
        else:
            yield values.astype("<f4").tobytes()


def group_chunks(plan: TensorPlan, stream: RandomStream) -> Iterator[bytes]:
    """A bfloat16 matrix of -s, 0 and s, with an s of its own for each group of columns."""
    rows, cols = plan.shape
    step = max(1, CHUNK_ELEMENTS // cols)
    for begin in range(0, rows, step):
        count = min(step, rows - begin)
        codes = stream.codes((count * cols + 3) // 4)
        trits = np.stack([codes >> shift & 3 for shift in (0, 2, 4, 6)], axis=1).reshape(-1)
        signs = trits[: count * cols].reshape(count, cols).astype(np.float32) - 1
        scales = np.float32(1.0) + stream.normal(count * -(-cols // GROUP)) * np.float32(0.1)
        scales = np.repeat(scales.reshape(count, -1) * np.float32(plan.std), GROUP, axis=1)
        yield to_bfloat16(signs * scales[:, :cols]).astype("<u2").tobytes()


def linear_plans(shape: Shape, name: str, rows: int, cols: int) -> list[TensorPlan]:
    """One ternary projection [rows, cols], packed or as latent floats, and its own norm."""
    typical = (2.0 * cols / 3.0) ** -0.5  # keeps the deviation of the outputs near that of inputs
    norm = (
        [TensorPlan(f"{name}.{shape.projection_norm}.weight", shape.float_dtype, (cols,), "norm")]
        if shape.projection_norm
        else []
    )
    if shape.has_latents:
        weight = TensorPlan(f"{name}.weight", shape.float_dtype, (rows, cols), "normal", typical)
        return [weight, *norm]
    if shape.storage == "groups":
        return [TensorPlan(f"{name}.weight", "BF16", (rows, cols), "groups", typical), *norm]
    if rows % 4:
        raise ValueError(f"{name} has {rows} rows; packed matrices need a multiple of 4")
    weight = TensorPlan(f"{name}.weight", "U8", (rows // 4, cols), "codes")
    if shape.storage == "packed-groups":
        groups = (rows, -(-cols // GROUP))
        return [weight, TensorPlan(f"{name}.weight_scale", "F16", groups, "scale", typical), *norm]
    scale = typical if shape.storage == "multiply" else 1.0 / typical
    return [weight, TensorPlan(f"{name}.weight_scale", "BF16", (1,), "scale", scale), *norm]


def tensor_plans(shape: Shape) -> list[TensorPlan]:
    """Every tensor of the model, in file order."""
    heads_width = shape.heads * shape.head_dim
    kv_width = shape.kv_heads * shape.head_dim
    start = "" if shape.architecture == "qwen3-bare" else "model."
    old = shape.architecture == "bitnet-old"
    attn_sub_norm = "inner_attn_ln" if old else "attn_sub_norm"
    ffn_sub_norm = "ffn_layernorm" if old else "ffn_sub_norm"
    sub_norms = shape.architecture.startswith("bitnet")

    def norm(name: str, size: int) -> TensorPlan:
        return TensorPlan(f"{name}.weight", shape.float_dtype, (size,), "norm")

    def table(name: str) -> list[TensorPlan]:
        sizes = (shape.vocab, shape.hidden)
        if shape.has_groups and shape.ternary_tables:
            return linear_plans(replace(shape, projection_norm=""), name, *sizes)
        std = shape.hidden**-0.5
        return [TensorPlan(f"{name}.weight", shape.float_dtype, sizes, "normal", std)]

    plans = table(f"{start}embed_tokens")
    for index in range(shape.layers):
        prefix = f"{start}layers.{index}"
        attn, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        plans.append(norm(f"{prefix}.input_layernorm", shape.hidden))
        plans += linear_plans(shape, f"{attn}.q_proj", heads_width, shape.hidden)
        plans += linear_plans(shape, f"{attn}.k_proj", kv_width, shape.hidden)
        plans += linear_plans(shape, f"{attn}.v_proj", kv_width, shape.hidden)
        if shape.architecture.startswith("qwen3"):
            plans.append(norm(f"{attn}.q_norm", shape.head_dim))
            plans.append(norm(f"{attn}.k_norm", shape.head_dim))
        if sub_norms:
            plans.append(norm(f"{attn}.{attn_sub_norm}", shape.hidden))
        plans += linear_plans(shape, f"{attn}.o_proj", shape.hidden, heads_width)
        plans.append(norm(f"{prefix}.post_attention_layernorm", shape.hidden))
        plans += linear_plans(shape, f"{mlp}.gate_proj", shape.intermediate, shape.hidden)
        plans += linear_plans(shape, f"{mlp}.up_proj", shape.intermediate, shape.hidden)
        if sub_norms:
            plans.append(norm(f"{mlp}.{ffn_sub_norm}", shape.intermediate))
        plans += linear_plans(shape, f"{mlp}.down_proj", shape.hidden, shape.intermediate)
    plans.append(norm(f"{start}norm", shape.hidden))
    if not shape.tied:
        plans += table("lm_head")
    return plans


_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bitnet": {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "hidden_act": "relu2",
    },
    "bitnet-old": {
        "architectures": ["BitnetForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "input_bits": 8,
        "weight_bits": 1,
    },
    "llama": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "mlp_bias": False,
        "pretraining_tp": 1,
    },
    "qwen3": {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_act": "silu",
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": 28,
    },
}
_ARCHITECTURES["qwen3-bare"] = _ARCHITECTURES["qwen3"] | {"architectures": ["Qwen3Model"]}


def model_config(shape: Shape) -> dict[str, Any]:
    """config.json as the Hugging Face libraries write it."""
    config: dict[str, Any] = {
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": shape.eps,
        "tie_word_embeddings": shape.tied,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 3,
        "initializer_range": 0.02,
        "torch_dtype": "float32" if shape.float_dtype == "F32" else "bfloat16",
        "use_cache": True,
    }
    config |= _ARCHITECTURES[shape.architecture]
    if shape.rope_scaling is not None:
        config["rope_scaling"] = dict(shape.rope_scaling)
    quantization = quantization_config(shape)
    if quantization:
        config["quantization_config"] = quantization
    return config


def quantization_config(shape: Shape) -> dict[str, Any]:
    """What config.json says of the weights; nothing where a family says nothing."""
    if shape.storage.startswith("latent") or shape.storage == "groups":
        return {}
    quantization: dict[str, Any] = {"quant_method": "bitnet", "modules_to_not_convert": None}
    if shape.storage in ("multiply", "packed-groups"):
        quantization |= {"linear_class": "autobitlinear", "quantization_mode": "offline"}
    elif shape.storage.startswith("online"):
        quantization |= {"linear_class": "autobitlinear", "quantization_mode": "online"}
    elif shape.architecture == "bitnet":
        quantization["linear_class"] = "bitlinear"
    if shape.storage == "packed-groups":
        quantization["group_size"] = GROUP
    if shape.projection_norm == "rms_norm":
        quantization |= {"use_rms_norm": True, "rms_norm_eps": shape.eps}
    return quantization


def write_safetensors(path: Path, plans: list[TensorPlan], seed: int) -> str:
    """Writes `plans` tensor by tensor; returns the file's SHA-256."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for plan in plans:
        header[plan.name] = {
            "dtype": plan.dtype,
            "shape": list(plan.shape),
            "data_offsets": [offset, offset + plan.nbytes],
        }
        offset += plan.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        for piece in (len(text).to_bytes(8, "little"), text):
            file.write(piece)
            digest.update(piece)
        for plan in plans:
            for piece in tensor_chunks(plan, seed):
                file.write(piece)
                digest.update(piece)
    partial.replace(path)
    return digest.hexdigest()


def make_checkpoint(directory: Path, shape: Shape, seed: int) -> str:
    """Writes a whole checkpoint; returns the SHA-256 of model.safetensors."""
    directory.mkdir(parents=True, exist_ok=True)
    files = tokenizer_files(shape.vocab, shape.context)
    files["config.json"] = model_config(shape)
    files["generation_config.json"] = {
        "bos_token_id": 0,
        "eos_token_id": [1, 2],
        "pad_token_id": 3,
        "do_sample": False,
        "temperature": 0.0,
    }
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return write_safetensors(directory / "model.safetensors", tensor_plans(shape), seed)
