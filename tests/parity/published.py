"""Small checkpoints laid out as those that are published: their keys, names, dtypes and files.

The values of each config.json are those of the repository that it is named after, as far as they
are known; those of sizes and token ids are made small, and no key comes or goes. A checkpoint of a
repository lies in shards where the published one does, in the dtype that it has there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sterna_service.models.synthetic.checkpoint import make_checkpoint, model_config, to_bfloat16
from sterna_service.models.synthetic.shapes import Shape
from tests.parity.numpy_model import read_safetensors

# Keys whose values are those of the small shape.
SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)

_LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": 128009,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.44.0.dev0",
    "use_cache": True,
    "vocab_size": 128256,
}
_BITNET: dict[str, Any] = {
    "architectures": ["BitNetForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_bitnet.BitNetConfig",
        "AutoModelForCausalLM": "modeling_bitnet.BitNetForCausalLM",
    },
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_act": "relu2",
    "hidden_size": 2560,
    "initializer_range": 0.02,
    "intermediate_size": 6912,
    "max_position_embeddings": 4096,
    "model_type": "bitnet",
    "rms_norm_eps": 1e-05,
    "num_attention_heads": 20,
    "num_hidden_layers": 30,
    "num_key_value_heads": 5,
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 128256,
    "quantization_config": {
        "quant_method": "bitnet",
        "linear_class": "autobitlinear",
        "quantization_mode": "offline",
    },
}
_QWEN3: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 6144,
    "max_position_embeddings": 32768,
    "max_window_layers": 28,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "float16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
_PACKED_LLAMA = {"quant_method": "bitnet", "modules_to_not_convert": None}


def _without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


@dataclass(frozen=True)
class Layout:
    """A repository: the shape of its small copy, and how the files are."""

    shape: Shape
    config: dict[str, Any]
    dtype: str = "BF16"
    """Of the tensors that are not packed."""
    shards: int = 1
    tokenizer: tuple[str, ...] = ("tokenizer.json", "tokenizer_config.json")
    """The files that say how text becomes tokens."""
    generation: dict[str, Any] | None = field(default_factory=dict)
    """Of generation_config.json, beside the end tokens; None: there is none."""

    @property
    def small_config(self) -> dict[str, Any]:
        """config.json of the small copy: the published keys, in their order."""
        sizes = model_config(self.shape)
        config = {key: sizes[key] if key in SIZES else v for key, v in self.config.items()}
        if self.shape.rope_scaling is not None:
            config["rope_scaling"] = dict(self.shape.rope_scaling)
        if "layer_types" in config:
            config["layer_types"] = ["full_attention"] * self.shape.layers
        return config


_TINY_BITNET = Shape("bitnet", "multiply", 128, 384, 2, 2, 1, 64, 389, rope_theta=5e5)
_TINY_LLAMA = Shape("llama", "divide", 128, 352, 2, 4, 1, 32, 389, rope_theta=5e5, tied=False)
_TINY_BONSAI = Shape("qwen3", "groups", 192, 448, 2, 4, 2, 64, 389, rope_theta=1e6, eps=1e-6)
_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
_LONGROPE = {
    "rope_type": "longrope",
    "long_factor": [1.0 + i / 4 for i in range(24)],
    "short_factor": [1.0 + i / 50 for i in range(24)],
    "original_max_position_embeddings": 24,
}
_FULL = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_QWEN_FILES = (*_FULL, "vocab.json", "merges.txt", "added_tokens.json", "chat_template.jinja")

LAYOUTS: dict[str, Layout] = {
    "microsoft/bitnet-b1.58-2B-4T": Layout(
        _TINY_BITNET, _BITNET, tokenizer=_FULL, generation={"temperature": 0.6, "top_p": 0.9}
    ),
    "microsoft/bitnet-b1.58-2B-4T-bf16": Layout(
        replace(_TINY_BITNET, storage="online-bf16"),
        _BITNET
        | {"quantization_config": _BITNET["quantization_config"] | {"quantization_mode": "online"}},
        tokenizer=_FULL,
        generation={"temperature": 0.6, "top_p": 0.9},
    ),
    "1bitLLM/bitnet_b1_58-3B": Layout(
        # Heads of 100 dimensions, and a width that neither 128 nor 256 divides.
        Shape("bitnet-old", "latent-f32", 200, 540, 2, 2, 2, 100, 389),
        {
            **_without(_LLAMA, "mlp_bias"),
            "_name_or_path": "1bitLLM/bitnet_b1_58-3B",
            "architectures": ["BitnetForCausalLM"],
            "hidden_size": 3200,
            "input_bits": 8,
            "intermediate_size": 8640,
            "max_position_embeddings": 2048,
            "num_hidden_layers": 26,
            "num_key_value_heads": 32,
            "pad_token_id": 32000,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
            "torch_dtype": "float16",
            "vocab_size": 32002,
            "weight_bits": 1,
        },
        dtype="F16",
        shards=3,
        tokenizer=("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    ),
    "HF1BitLLM/Llama3-8B-1.58-100B-tokens": Layout(
        _TINY_LLAMA,
        _LLAMA
        | {
            "_name_or_path": "meta-llama/Meta-Llama-3-8B-Instruct",
            "quantization_config": _PACKED_LLAMA,
        },
        tokenizer=(),
    ),
    "tiiuae/Falcon3-7B-Instruct-1.58bit": Layout(
        # Heads whose width is not that of the model.
        Shape("llama", "divide", 144, 352, 2, 2, 1, 256, 389, rope_theta=1000042, tied=False),
        _without(_LLAMA, "bos_token_id")
        | {
            "eos_token_id": 11,
            "head_dim": 256,
            "hidden_size": 3072,
            "intermediate_size": 23040,
            "is_bitnet_config": True,
            "max_position_embeddings": 32768,
            "num_attention_heads": 12,
            "num_hidden_layers": 28,
            "num_key_value_heads": 4,
            "quantization_config": _PACKED_LLAMA,
            "rms_norm_eps": 1e-06,
            "rope_theta": 1000042,
            "vocab_size": 131072,
        },
        shards=2,
        tokenizer=_FULL,
    ),
    "tiiuae/Falcon-E-1B-Instruct": Layout(
        _TINY_LLAMA,
        _LLAMA
        | {"quantization_config": {"modules_to_not_convert": ["lm_head"], "quant_method": "bitnet"}}
        | {"num_hidden_layers": 24, "is_bitnet_config": True, "head_dim": 128},
        tokenizer=(*_FULL, "chat_template.jinja"),
    ),
    "prism-ml/Ternary-Bonsai-1.7B-unpacked": Layout(
        _TINY_BONSAI, _QWEN3, dtype="F16", tokenizer=_QWEN_FILES
    ),
    "prism-ml/Ternary-Bonsai-8B-unpacked": Layout(
        replace(_TINY_BONSAI, tied=False, rope_scaling=_YARN),
        # As later releases of transformers write it.
        _without(_QWEN3, "torch_dtype")
        | {
            "dtype": "float16",
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "layer_types": ["full_attention"] * 36,
            "num_attention_heads": 32,
            "num_hidden_layers": 36,
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            "tie_word_embeddings": False,
        },
        dtype="F16",
        shards=4,
        tokenizer=_QWEN_FILES,
    ),
    "openbmb/BitCPM-CANN-1B": Layout(
        Shape(
            "llama",
            "groups",
            144,
            300,
            2,
            3,
            1,
            48,
            389,
            rope_scaling=_LONGROPE,
            ternary_tables=False,
        ),
        _LLAMA
        | {
            "num_key_value_heads": 2,
            "rope_scaling": _LONGROPE
            | {
                "long_factor": [1.0 + i / 8 for i in range(64)],
                "short_factor": [1.0 + i / 99 for i in range(64)],
                "original_max_position_embeddings": 4096,
            },
            "tie_word_embeddings": True,
        },
        tokenizer=_FULL,
    ),
    "microsoft/bitnet-embedding-0.6b": Layout(
        Shape(
            "qwen3-bare",
            "latent-f32",
            112,
            244,
            2,
            3,
            1,
            64,
            389,
            rope_theta=1e6,
            eps=1e-6,
            projection_norm="norm",
        ),
        _QWEN3 | {"architectures": ["Qwen3Model"], "torch_dtype": "bfloat16", "hidden_size": 1024},
        tokenizer=_QWEN_FILES,
        generation=None,
    ),
}


def write(name: str, directory: Path) -> tuple[Path, Path]:
    """Writes the small copy of a repository into `directory`: the checkpoint, and one with the same
    tensors in a single file, for whoever cannot read shards."""
    layout = LAYOUTS[name]
    whole, published = directory / "whole", directory / name.partition("/")[2]
    make_checkpoint(whole, layout.shape, 3)
    convert(whole / "model.safetensors", layout.dtype)
    text = json.dumps(layout.small_config, indent=2) + "\n"
    (whole / "config.json").write_text(text, encoding="utf-8")
    published.mkdir()
    (published / "config.json").write_text(text, encoding="utf-8")
    (published / "README.md").write_text("---\nlibrary_name: transformers\n---\n")
    _write_weights(_read(whole / "model.safetensors"), published, layout)
    _write_tokenizer(whole, published, layout)
    if layout.generation is not None:
        ends = {"bos_token_id": 0, "eos_token_id": [1, 2], "transformers_version": "4.51.0"}
        generation = json.dumps(ends | layout.generation)
        (published / "generation_config.json").write_text(generation)
    return published, whole


@dataclass(frozen=True)
class _Raw:
    """A tensor as it lies in a file: numpy has no bfloat16."""

    dtype: str
    shape: list[int]
    data: bytes


def _read(path: Path) -> dict[str, _Raw]:
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    found = {}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            data = content[start + begin : start + end]
            found[name] = _Raw(entry["dtype"], entry["shape"], data)
    return found


def _save(tensors: Mapping[str, _Raw], path: Path) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        place = [at, at + len(tensor.data)]
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": place}
        at += len(tensor.data)
    text = json.dumps(header).encode()
    data = b"".join(tensor.data for tensor in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def convert(path: Path, dtype: str) -> None:
    """Rewrites a file of safetensors with the tensors that are not packed in another dtype."""
    tensors = _read(path)
    for name, values in read_safetensors(path).items():
        if values.dtype == np.float32 and tensors[name].dtype != dtype:
            halves = values.astype("<f2") if dtype == "F16" else to_bfloat16(values).astype("<u2")
            tensors[name] = _Raw(dtype, list(values.shape), halves.tobytes())
    _save(tensors, path)


def _write_weights(tensors: dict[str, _Raw], directory: Path, layout: Layout) -> None:
    count = layout.shards
    if count == 1:
        _save(tensors, directory / "model.safetensors")
        return
    names: list[str] = list(tensors)
    places: dict[str, str] = {}
    for number in range(count):
        file = f"model-{number + 1:05}-of-{count:05}.safetensors"
        # Cut in the middle of layers, as sizes cut them.
        share = names[number * len(names) // count : (number + 1) * len(names) // count]
        _save({name: tensors[name] for name in share}, directory / file)
        places |= dict.fromkeys(share, file)
    index = {
        "metadata": {"total_size": sum(len(tensor.data) for tensor in tensors.values())},
        "weight_map": dict(sorted(places.items())),
    }
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _write_tokenizer(whole: Path, directory: Path, layout: Layout) -> None:
    """The files as transformers saves them, special tokens as objects among them."""
    config = json.loads((whole / "tokenizer_config.json").read_text())
    tokenizer = json.loads((whole / "tokenizer.json").read_text())
    template = config["chat_template"]
    if "chat_template.jinja" in layout.tokenizer:
        del config["chat_template"]
    added = {
        str(each["id"]): {key: value for key, value in each.items() if key != "id"}
        for each in tokenizer["added_tokens"]
    }
    token = {"__type": "AddedToken", "lstrip": False, "normalized": False, "rstrip": False}
    config |= {
        "added_tokens_decoder": added,
        "bos_token": token | {"content": config["bos_token"]},
        "clean_up_tokenization_spaces": True,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    merges = [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    contents = {
        "tokenizer.json": json.dumps(tokenizer),
        "tokenizer_config.json": json.dumps(config),
        "special_tokens_map.json": json.dumps({"eos_token": config["eos_token"]}),
        "vocab.json": json.dumps(tokenizer["model"]["vocab"]),
        "merges.txt": "#version: 0.2\n" + "\n".join(merges),
        "added_tokens.json": json.dumps({each["content"]: int(id) for id, each in added.items()}),
        "chat_template.jinja": template,
        "tokenizer.model": "a SentencePiece model",
    }
    for file in layout.tokenizer:
        (directory / file).write_text(contents[file], encoding="utf-8")
