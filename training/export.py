"""The packed Hugging Face checkpoint that Sterna serves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.corpus.chat import BOS, CHAT_TEMPLATE, END_OF_TURN, PAD
from training.model import BitNet, Linear, ternary
from training.windows import BOS_ID, END_OF_TURN_ID, EOS_ID, PAD_ID


def pack(codes: Tensor) -> Tensor:
    """Codes {-1, 0, 1} [rows, columns] as bytes [rows / 4, columns].

    A byte holds the rows i, i + rows/4, i + rows/2, i + 3 rows/4 in its bit pairs, lowest first,
    each as code + 1.
    """
    rows = codes.shape[0]
    if rows % 4:
        raise ValueError(f"a packed matrix needs a multiple of 4 rows; this one has {rows}")
    quarters = (codes + 1).to(torch.uint8).chunk(4)
    packed = quarters[0].clone()
    for i, quarter in enumerate(quarters[1:], 1):
        packed |= quarter << (2 * i)
    return packed


def packed_tensors(model: BitNet) -> dict[str, Tensor]:
    """The tensors of the checkpoint: packed linears with their scales, the rest in bf16."""
    tensors: dict[str, Tensor] = {}
    linears = {name for name, module in model.named_modules() if isinstance(module, Linear)}
    for name, parameter in model.named_parameters():
        value = parameter.detach()
        if name.removesuffix(".weight") in linears:
            codes, scale = ternary(value)
            tensors[f"model.{name}"] = pack(codes).contiguous()
            tensors[f"model.{name}_scale"] = scale.reshape(1).bfloat16()
        else:
            tensors[f"model.{name}"] = value.bfloat16().contiguous()
    return tensors


def config_json(model: BitNet) -> dict[str, Any]:
    return {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "hidden_act": "relu2",
        **model.config.to_dict(),
        "tie_word_embeddings": True,
        "bos_token_id": BOS_ID,
        "eos_token_id": END_OF_TURN_ID,
        "pad_token_id": PAD_ID,
        "torch_dtype": "bfloat16",
        "initializer_range": 0.02,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    }


def export(model: BitNet, tokenizer: Path, directory: Path) -> None:
    """Write config, weights, tokenizer and chat template into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file(packed_tensors(model), directory / "model.safetensors", metadata={"format": "pt"})
    _write(directory / "config.json", config_json(model))
    _write(
        directory / "generation_config.json",
        {
            "bos_token_id": BOS_ID,
            "eos_token_id": [EOS_ID, END_OF_TURN_ID],
            "pad_token_id": PAD_ID,
            "temperature": 0.0,
            "do_sample": False,
            # It asks for searches with tags, which the search harness of the server reads.
            "search_tags": True,
        },
    )
    _write(
        directory / "tokenizer_config.json",
        {
            "bos_token": BOS,
            "eos_token": END_OF_TURN,
            "pad_token": PAD,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": CHAT_TEMPLATE,
            "model_max_length": model.config.max_position_embeddings,
        },
    )
    shutil.copyfile(tokenizer, directory / "tokenizer.json")
    # Weights are written readable by their owner alone; a package is read by everyone.
    (directory / "model.safetensors").chmod(0o644)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
