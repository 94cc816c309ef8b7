"""A LoRA adapter on the frozen ternary model, written in the PEFT format."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.corpus.chat import Conversation
from training.corpus.mixture import Corpus
from training.corpus.pirate import in_style
from training.corpus.sources import Sources
from training.dataset import encoder
from training.model import BitNet, Linear, document_mask
from training.tokenizer import load_tokenizer
from training.windows import BOS_ID, Windows, documents, pack

_LENGTH = 192
_BATCH_ROWS = 8
# Of the conversations, those of questions and answers alone; of the others, the longest message.
_EXCHANGES = 0.85
_LONGEST = 350


@dataclass(frozen=True)
class AdapterOptions:
    rank: int = 16
    alpha: int = 16
    steps: int = 520
    learning_rate: float = 2e-3
    seed: int = 3


def attach(model: BitNet, options: AdapterOptions) -> dict[str, tuple[Tensor, Tensor]]:
    """Freeze the model and put a fresh A [rank, in] and B [out, rank] beside every linear."""
    torch.manual_seed(options.seed)
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, module in model.named_modules():
        if isinstance(module, Linear):
            outputs, inputs = module.weight.shape
            a = nn.Parameter(torch.randn(options.rank, inputs) / inputs**0.5)
            b = nn.Parameter(torch.zeros(outputs, options.rank))
            module.lora = (a, b, options.alpha / options.rank)
            pairs[name] = (a, b)
    return pairs


def train_adapter(
    model: BitNet, tokenizer: Path, sources: Sources, options: AdapterOptions
) -> tuple[dict[str, tuple[Tensor, Tensor]], list[float]]:
    """Train on conversations in the style; returns the matrices and the losses."""
    pairs = attach(model, options)
    encode = encoder(load_tokenizer(tokenizer))
    rows = options.steps * _BATCH_ROWS
    # Far more than fit, so that packing ends by itself.
    styled = itertools.islice(map(in_style, _short(sources, options.seed)), rows * 40)
    windows = pack(documents(styled, encode), _LENGTH, rows)
    parameters = [matrix for pair in pairs.values() for matrix in pair]
    optimizer = torch.optim.AdamW(parameters, options.learning_rate, weight_decay=0.0)
    losses = []
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * (1 - step / options.steps)
        loss = _loss(model, windows, slice(step * _BATCH_ROWS, (step + 1) * _BATCH_ROWS))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    return pairs, losses


def _short(sources: Sources, seed: int) -> Iterator[Conversation]:
    """Mostly questions and answers of every kind; the rest of the corpus where it is short."""
    rng = random.Random(seed)
    corpus = Corpus(sources, seed)
    whole = (c for c in corpus if all(len(m.text) < _LONGEST for m in c))
    while True:
        if rng.random() < _EXCHANGES:
            yield corpus.exchanges(rng.choice((1, 1, 2, 3)))
        else:
            yield next(whole)


def _loss(model: BitNet, windows: Windows, rows: slice) -> Tensor:
    tokens = torch.from_numpy(windows.tokens[rows].astype("int64"))
    weights = torch.from_numpy(windows.weights[rows])
    inputs, targets, counted = tokens[:, :-1].contiguous(), tokens[:, 1:], weights[:, 1:] > 0
    states = model.hidden(inputs, document_mask(inputs, BOS_ID))
    return F.cross_entropy(model.logits(states[counted]), targets[counted])


def save_adapter(
    pairs: dict[str, tuple[Tensor, Tensor]], options: AdapterOptions, base: str, directory: Path
) -> None:
    """Write adapter_config.json and adapter_model.safetensors for the base model's id `base`."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, (a, b) in pairs.items():
        tensors[f"base_model.model.model.{name}.lora_A.weight"] = a.detach().bfloat16()
        tensors[f"base_model.model.model.{name}.lora_B.weight"] = b.detach().bfloat16()
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": options.rank,
        "lora_alpha": options.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted({name.rsplit(".", 1)[1] for name in pairs}),
    }
    text = json.dumps(config, indent=1) + "\n"
    (directory / "adapter_config.json").write_text(text, encoding="utf-8")


def load_adapter(model: BitNet, directory: Path) -> None:
    """Put the adapter of `directory` beside the linears of `model`."""
    config = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = load_file(directory / "adapter_model.safetensors")
    scale = config["lora_alpha"] / config["r"]
    for name, module in model.named_modules():
        if isinstance(module, Linear):
            a = tensors[f"base_model.model.model.{name}.lora_A.weight"].float()
            b = tensors[f"base_model.model.model.{name}.lora_B.weight"].float()
            module.lora = (a, b, scale)
