"""Writes the seed corpora of the fuzz targets into corpus/<target>/: small valid inputs."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

Tensor = tuple[str, list[int], bytes]

CORPUS = Path(__file__).parent / "corpus"
HIDDEN, INNER, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 8, 12, 2, 1, 4, 5


def safetensors(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    header: dict[str, Any] = {}
    if metadata is not None:
        header["__metadata__"] = metadata
    data = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return struct.pack("<Q", len(text)) + text + data


def bf16(count: int, value: float = 1.0) -> bytes:
    return struct.pack("<f", value)[2:] * count


def config(bitnet: bool, linear_class: str | None, mode: str | None, tied: bool) -> dict[str, Any]:
    quantization: dict[str, Any] = {"quant_method": "bitnet", "modules_to_not_convert": None}
    if linear_class is not None:
        quantization["linear_class"] = linear_class
    if mode is not None:
        quantization["quantization_mode"] = mode
    return {
        "architectures": ["BitNetForCausalLM" if bitnet else "LlamaForCausalLM"],
        "model_type": "bitnet" if bitnet else "llama",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "hidden_act": "relu2" if bitnet else "silu",
        "tie_word_embeddings": tied,
        "quantization_config": quantization,
    }


def qwen3(quantization: dict[str, Any] | None) -> dict[str, Any]:
    """Heads with norms and a scaled rotary embedding; without a declaration, ternary floats."""
    settings = config(False, None, None, True)
    settings |= {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": HEAD_DIM}
    settings["rope_parameters"] = {"rope_theta": 1e6, "rope_type": "yarn", "factor": 4.0}
    if quantization is None:
        del settings["quantization_config"]
    else:
        settings["quantization_config"] |= quantization
    return settings


GROUPS = {"linear_class": "autobitlinear", "group_size": 128}
LONGROPE = {
    "rope_theta": 1e4,
    "rope_type": "longrope",
    "short_factor": [1.0] * (HEAD_DIM // 2),
    "long_factor": [2.0] * (HEAD_DIM // 2),
    "original_max_position_embeddings": 16,
}

LINEARS = {
    "q": ("self_attn.q_proj", HEADS * HEAD_DIM, HIDDEN),
    "k": ("self_attn.k_proj", KV_HEADS * HEAD_DIM, HIDDEN),
    "v": ("self_attn.v_proj", KV_HEADS * HEAD_DIM, HIDDEN),
    "o": ("self_attn.o_proj", HIDDEN, HEADS * HEAD_DIM),
    "gate": ("mlp.gate_proj", INNER, HIDDEN),
    "up": ("mlp.up_proj", INNER, HIDDEN),
    "down": ("mlp.down_proj", HIDDEN, INNER),
}
NORMS = {
    "input_norm": ("input_layernorm", HIDDEN),
    "post_attention_norm": ("post_attention_layernorm", HIDDEN),
    "attn_sub_norm": ("self_attn.attn_sub_norm", HIDDEN),
    "ffn_sub_norm": ("mlp.ffn_sub_norm", INNER),
}


def norms(bitnet: bool) -> dict[str, tuple[str, int]]:
    return {key: norm for key, norm in NORMS.items() if bitnet or "sub" not in key}


def checkpoint(settings: dict[str, Any]) -> bytes:
    """The input of checkpoint_fuzz: a length, config.json, model.safetensors."""
    bitnet = settings["model_type"] == "bitnet"
    quantization = settings.get("quantization_config")
    latent = quantization is not None and quantization.get("quantization_mode") == "online"
    heads = settings["model_type"] == "qwen3"
    rng = random.Random(7)
    prefix = "model.layers.0."
    tensors: dict[str, Tensor] = {
        "model.embed_tokens.weight": ("BF16", [VOCAB, HIDDEN], bf16(VOCAB * HIDDEN, 0.5)),
        "model.norm.weight": ("BF16", [HIDDEN], bf16(HIDDEN)),
    }
    if not settings["tie_word_embeddings"]:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    for module, size in norms(bitnet).values():
        tensors[f"{prefix}{module}.weight"] = ("BF16", [size], bf16(size))
    for name in ("q_norm", "k_norm") if heads else ():
        tensors[f"{prefix}self_attn.{name}.weight"] = ("BF16", [HEAD_DIM], bf16(HEAD_DIM))
    for module, rows, cols in LINEARS.values():
        if quantization is None:
            content = b"".join(bf16(1, rng.choice((-0.5, 0.0, 0.5))) for _ in range(rows * cols))
            tensors[f"{prefix}{module}.weight"] = ("BF16", [rows, cols], content)
            continue
        if heads:
            tensors[f"{prefix}{module}.norm.weight"] = ("BF16", [cols], bf16(cols))
        if latent:
            values = (rng.gauss(0.0, 0.1) for _ in range(rows * cols))
            content = b"".join(struct.pack("<f", value) for value in values)
            tensors[f"{prefix}{module}.weight"] = ("F32", [rows, cols], content)
            continue
        codes = bytes(
            sum(rng.randrange(3) << shift for shift in (0, 2, 4, 6))
            for _ in range(rows // 4 * cols)
        )
        tensors[f"{prefix}{module}.weight"] = ("U8", [rows // 4, cols], codes)
        shape = [rows, 1] if "group_size" in quantization else [1]
        tensors[f"{prefix}{module}.weight_scale"] = ("BF16", shape, bf16(shape[0], 1.5))
    text = json.dumps(settings, separators=(",", ":")).encode()
    return struct.pack("<H", len(text)) + text + safetensors(tensors)


def bundle(bitnet: bool, tied: bool, group: int = 0) -> bytes:
    settings = config(bitnet, None, None, tied)
    settings["rope_theta"] = settings.pop("rope_parameters")["rope_theta"]
    settings["head_dim"] = HEAD_DIM
    del settings["quantization_config"]
    tensors: dict[str, Tensor] = {}

    def add(name: str, dtype: str, shape: list[int], content: bytes) -> None:
        tensors[name] = (dtype, shape, content)
        padding = -len(content) % 64
        if padding:
            tensors[f"_padding.{len(tensors)}"] = ("U8", [padding], bytes(padding))

    matrices = {name: (rows, cols) for name, (_, rows, cols) in LINEARS.items()}
    linears = {f"layers.0.{name}": shape for name, shape in matrices.items()}
    if group:
        settings |= {"weight_group": group, "ternary_embedding": True, "ternary_head": not tied}
    for name in ["embed_tokens"] if tied else ["embed_tokens", "lm_head"]:
        if group:
            linears[name] = (VOCAB, HIDDEN)
        else:
            add(name, "BF16", [VOCAB, HIDDEN], bf16(VOCAB * HIDDEN, 0.5))
    add("norm", "F32", [HIDDEN], struct.pack("<f", 1.0) * HIDDEN)
    for name, (_, size) in norms(bitnet).items():
        add(f"layers.0.{name}", "F32", [size], struct.pack("<f", 1.0) * size)
    for name, (rows, cols) in linears.items():
        shape = [-(-rows // 16), -(-cols // 16), 64]
        if group:
            scales = [shape[0], -(-cols // group), 16]
            halves = struct.pack("<e", 0.5) * (scales[0] * scales[1] * 16)
            add(f"{name}.scales", "F16", scales, halves)
        else:
            add(f"{name}.scale", "F32", [1], struct.pack("<f", 0.5))
        add(f"{name}.tiles", "U8", shape, b"\x55" * (shape[0] * shape[1] * 64))
    metadata = {"format": "sterna-bundle", "version": "1", "config": json.dumps(settings)}
    return safetensors(tensors, metadata)


def adapter(settings: dict[str, Any], linears: str, dtype: str) -> bytes:
    """The input of adapter_fuzz: a length, adapter_config.json, adapter_model.safetensors."""
    rank = settings["r"]
    tensors: dict[str, Tensor] = {}
    for name in linears.split():
        module, rows, cols = LINEARS[name]
        prefix = f"base_model.model.model.layers.0.{module}.lora_"
        for part, shape in (("A", [rank, cols]), ("B", [rows, rank])):
            count = shape[0] * shape[1]
            content = bf16(count, 0.5) if dtype == "BF16" else struct.pack("<f", 0.25) * count
            tensors[f"{prefix}{part}.weight"] = (dtype, shape, content)
    text = json.dumps(settings, separators=(",", ":")).encode()
    return struct.pack("<H", len(text)) + text + safetensors(tensors)


def main() -> None:
    small: dict[str, Tensor] = {
        "a": ("F32", [2, 2], bytes(16)),
        "b": ("U8", [3], b"abc"),
        "scalar": ("I64", [], bytes(8)),
        "empty": ("BF16", [0, 7], b""),
    }
    families = {
        "bitnet-multiply": config(True, "autobitlinear", "offline", True),
        "bitnet-online": config(True, "autobitlinear", "online", True),
        "llama-divide": config(False, None, None, False),
        "llama-longrope": config(False, None, None, True) | {"rope_parameters": LONGROPE},
        "qwen3-ternary": qwen3(None),
        "qwen3-groups": qwen3(GROUPS),
    }
    old_style = dict(config(False, "bitlinear", "offline", True))
    old_style["rope_theta"] = old_style.pop("rope_parameters")["rope_theta"]
    old_style |= {"rope_scaling": None, "head_dim": 4, "torch_dtype": "bfloat16"}
    lora: dict[str, Any] = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
        "rank_pattern": {"layers.0.self_attn.q_proj": 2},
        "alpha_pattern": {".*k_proj": 3},
        "base_model_name_or_path": "a/b",
    }
    regex = lora | {"target_modules": "(?:.*mlp)\\.(gate|up|down)_proj", "use_rslora": True}
    seeds: dict[str, dict[str, bytes]] = {
        "adapter": {
            "list": adapter(lora, "q k v o", "F32"),
            "regex": adapter(regex, "gate up down", "BF16"),
        },
        "pattern": {
            "names": b"(.*\\.)?([qk]_proj|up{1,2})\0model.layers.0.self_attn.q_proj",
            "classes": b"^a[^0-9\\w-]+\\b(?:x|)*$\0a..x",
        },
        "safetensors": {
            "small": safetensors(small, {"format": "pt"}),
            "none": safetensors({}),
        },
        "config": {name: json.dumps(value).encode() for name, value in families.items()}
        | {"old-style": json.dumps(old_style).encode()},
        "checkpoint": {name: checkpoint(value) for name, value in families.items()},
        "bundle": {
            "bitnet-tied": bundle(True, True),
            "llama": bundle(False, False),
            "llama-groups": bundle(False, False, 128),
        },
    }
    for target, files in seeds.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
