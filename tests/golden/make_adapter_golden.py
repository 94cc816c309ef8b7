"""Record what PEFT on transformers computes with LoRA adapters. See README.md beside this file.

The adapters of the random shapes are made here, too, and saved by PEFT.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import make_golden as base
import numpy as np
import peft
import safetensors.torch
import torch
import transformers

from scripts.checkpoint_presets import PRESETS
from sterna_service.models.synthetic.checkpoint import make_checkpoint

ADAPTERS = base.REPOSITORY / "tests" / "data" / "adapters"
PIRATE_PROMPTS = base.GREEDY_PROMPTS[:8]
SEEDS = (0, 1, 2, 3)
ROWS = (0, 1, 15, 16, 17, 39)


@dataclass(frozen=True)
class Recipe:
    """An adapter for the random checkpoint of a shape."""

    preset: str
    settings: dict[str, Any] = field(default_factory=dict)  # of peft.LoraConfig
    bf16: bool = False  # the file holds bfloat16


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

RECIPES = {
    "patterns": Recipe(
        "bitnet-multiply",
        {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": ALL,
            "rank_pattern": {"layers.1.mlp.up_proj": 2, "q_proj": 7},
            "alpha_pattern": {"v_proj": 20, r"model\.layers\.0\..*o_proj": 3, "up_proj": 5.5},
        },
    ),
    "rslora": Recipe(
        "llama-multiply-hd64",
        {
            "r": 6,
            "lora_alpha": 4,
            "use_rslora": True,
            "target_modules": r".*\.(self_attn\.(q|v|o)_proj|mlp\.(up|down)_proj)",
            "rank_pattern": {"down_proj": 3},
        },
    ),
    "subset": Recipe(
        "bitnet-online-f32",
        {
            "r": 3,
            "lora_alpha": 3,
            "target_modules": ["gate_proj", "up_proj", "k_proj", "o_proj"],
            "layers_to_transform": [1],
            "exclude_modules": r".*\.o_proj",
        },
        bf16=True,
    ),
    # PEFT refuses the linear class of shapes that divide: its formula is applied by hooks.
    "divide": Recipe("bitnet-divide", {"r": 4, "lora_alpha": 8, "target_modules": ALL}),
    "qwen3": Recipe(
        "qwen3-multiply",
        {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": ALL,
            "rank_pattern": {"k_proj": 3, "layers.0.mlp.down_proj": 2},
            "alpha_pattern": {"o_proj": 3},
        },
    ),
    "qwen3-divide": Recipe(
        "qwen3-divide", {"r": 3, "lora_alpha": 6, "target_modules": ALL}, bf16=True
    ),
    # Every linear normalizes its input, which its adapter takes as it is.
    "qwen3-norms": Recipe(
        "qwen3-embedding", {"r": 3, "lora_alpha": 6, "target_modules": ALL}, bf16=True
    ),
    # Linears that are ordinary floats to PEFT, and ternary by groups to the engine.
    "groups": Recipe(
        "qwen3-groups",
        {
            "r": 4,
            "lora_alpha": 4,
            "use_rslora": True,
            "target_modules": ALL,
            "rank_pattern": {"v_proj": 2},
        },
        bf16=True,
    ),
    "groups-untied": Recipe(
        "qwen3-groups-untied",
        {
            "r": 3,
            "lora_alpha": 6,
            "target_modules": ["q_proj", "o_proj", "down_proj"],
            "alpha_pattern": {"down_proj": 4},
        },
        bf16=True,
    ),
    "groups-llama": Recipe(
        "llama-groups", {"r": 3, "lora_alpha": 3, "target_modules": ALL}, bf16=True
    ),
}


def randomize(model: Any, bf16: bool) -> None:
    """Weights as large as those of the model, so that a mistake in them shows."""
    generator = torch.Generator().manual_seed(17)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            width = parameter.shape[1] ** -0.5
            values = torch.randn(parameter.shape, generator=generator) * width
            parameter.data = values.bfloat16().float() if bf16 else values


def save(model: Any, recipe: Recipe, directory: Path) -> None:
    model.peft_config["default"].base_model_name_or_path = f"tiny/{recipe.preset}"
    model.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)
    if recipe.bf16:
        path = directory / "adapter_model.safetensors"
        tensors = safetensors.torch.load_file(path)
        halves = {name: tensor.bfloat16() for name, tensor in tensors.items()}
        safetensors.torch.save_file(halves, path, metadata={"format": "pt"})


def hook_adapter(model: Any, directory: Path) -> None:
    """Adds alpha / r * B (A x) to the output of every module that the adapter has tensors for."""
    config = json.loads((directory / "adapter_config.json").read_text())
    tensors = safetensors.torch.load_file(directory / "adapter_model.safetensors")
    scale = config["lora_alpha"] / config["r"]

    def hook(a: Any, b: Any) -> Callable[..., Any]:
        return lambda _module, arguments, output: output + arguments[0] @ a.T @ b.T * scale

    for name, a in tensors.items():
        if name.endswith(".lora_A.weight"):
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            b = tensors[name.replace("lora_A", "lora_B")]
            model.get_submodule(module).register_forward_hook(hook(a.float(), b.float()))


def make_divide_adapter(recipe: Recipe, directory: Path) -> None:
    """PEFT makes it for the same shape in a family whose linears it knows."""
    shape = PRESETS[recipe.preset]
    config = transformers.LlamaConfig(
        vocab_size=8,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
    )
    model = peft.get_peft_model(
        transformers.LlamaForCausalLM(config),
        peft.LoraConfig(task_type="CAUSAL_LM", **recipe.settings),
    )
    randomize(model, recipe.bf16)
    save(model, recipe, directory)


def adapted(checkpoint: Path, recipe: Recipe, directory: Path) -> Any:
    """The model with the adapter, which is made when `directory` has none."""
    model = base.load_model(checkpoint)
    if recipe.preset in PRESETS and PRESETS[recipe.preset].storage == "divide":
        if not directory.exists():
            make_divide_adapter(recipe, directory)
        hook_adapter(model, directory)
        return model
    if not directory.exists():
        config = peft.LoraConfig(task_type="CAUSAL_LM", **recipe.settings)
        fresh = peft.get_peft_model(model, config)
        randomize(fresh, recipe.bf16)
        save(fresh, recipe, directory)
        model = base.load_model(checkpoint)
    loaded = peft.PeftModel.from_pretrained(model, directory)
    loaded.eval()
    return loaded.base_model.model


def versions() -> dict[str, str]:
    found: dict[str, str] = base.versions() | {"peft": peft.__version__}
    return found


def golden_recipe(name: str) -> dict[str, Any]:
    recipe = RECIPES[name]
    shape = PRESETS[recipe.preset]
    directory = ADAPTERS / "golden" / name
    values: dict[str, Any] = {}
    digests = {}
    # Seeds of which the models alone are recorded, too.
    for seed in base.FEW_SEEDS if recipe.preset in base.VARIANTS else SEEDS:
        with tempfile.TemporaryDirectory() as temporary:
            digests[str(seed)] = make_checkpoint(Path(temporary), shape, seed)
            base.to_reference_form(Path(temporary))
            model = adapted(Path(temporary), recipe, directory)
            if seed == 0:
                prompts = [
                    base.prompt_tokens(shape.vocab, s, base.LAYER_TOKENS + 1)[1:]
                    for s in base.LAYER_PROMPTS
                ]
                runs = [base.record_layers(model, prompt, 1) for prompt in prompts]
                clearest: dict[str, Any] = max(runs, key=base.clear_rows)
                values |= {k: v for k, v in clearest.items() if k.startswith("layer/")}
            tokens = base.prompt_tokens(shape.vocab, seed, base.PROMPT_TOKENS)
            values |= base.record_logits(model, seed, tokens, ROWS)
    meta = versions() | {"preset": recipe.preset, "sha256": digests}
    values["meta"] = np.array(json.dumps(meta))
    return values


def golden_pirate() -> dict[str, Any]:
    """The adapter of the embedded model: logits and greedy continuations."""
    model = adapted(base.EMBEDDED, Recipe("embedded"), ADAPTERS / "pirate")
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(base.EMBEDDED)
    values: dict[str, Any] = {}
    texts = []
    for index, text in enumerate(PIRATE_PROMPTS):
        chat = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
        )
        prompt = tokenizer(chat, add_special_tokens=False)["input_ids"]
        values |= base.record_logits(model, index, prompt, (len(prompt) - 1,))
        ids, gaps = base.continue_greedily(model, prompt)
        values[f"greedy/{index}/prompt"] = np.array(prompt, np.int32)
        values[f"greedy/{index}/ids"] = np.array(ids, np.int32)
        values[f"greedy/{index}/gaps"] = gaps
        texts.append({"prompt": text, "text": tokenizer.decode(ids, skip_special_tokens=True)})
        print(f"  {text!r} -> {texts[-1]['text']!r}")
    digest = hashlib.sha256((base.EMBEDDED / "model.safetensors").read_bytes()).hexdigest()
    meta = versions() | {"preset": "embedded", "sha256": {"0": digest}, "greedy": texts}
    values["meta"] = np.array(json.dumps(meta))
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="adapters (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for name in options.names or [*RECIPES, "pirate"]:
        values = golden_pirate() if name == "pirate" else golden_recipe(name)
        path = base.REPOSITORY / "tests" / "data" / "golden" / f"adapter-{name}.npz"
        np.savez_compressed(path, **values)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
