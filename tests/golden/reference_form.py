"""Checkpoints that the reference library does not read as published, in a form that it reads.

Only names and declarations change; the bytes of every tensor stay what they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ONLINE = {
    "quant_method": "bitnet",
    "modules_to_not_convert": None,
    "linear_class": "autobitlinear",
    "quantization_mode": "online",
}


def to_reference_form(directory: Path) -> None:
    """Rewrites config.json and the names in model.safetensors, where that is needed."""
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    renames: list[tuple[str, str]] = []
    names = tensor_names(directory)
    if "embed_tokens.weight" in names:
        config["architectures"] = ["Qwen3ForCausalLM"]
        renames += [("embed_tokens.", "model.embed_tokens."), ("layers.", "model.layers.")]
        renames.append(("norm.weight", "model.norm.weight"))
    if any(name.endswith("q_proj.norm.weight") for name in names):
        # The same arithmetic, as an option of the library.
        renames.append(("_proj.norm.", "_proj.rms_norm."))
        config["quantization_config"] = ONLINE | {
            "use_rms_norm": True,
            "rms_norm_eps": config["rms_norm_eps"],
        }
    if config["architectures"] == ["BitnetForCausalLM"]:
        config |= {"architectures": ["BitNetForCausalLM"], "model_type": "bitnet"}
        config["quantization_config"] = ONLINE
        renames.append((".inner_attn_ln.", ".attn_sub_norm."))
        renames.append((".ffn_layernorm.", ".ffn_sub_norm."))
    path.write_text(json.dumps(config), encoding="utf-8")
    if renames:
        rename_tensors(directory / "model.safetensors", renames)


def tensor_names(directory: Path) -> list[str]:
    header, _ = _read(directory / "model.safetensors")
    return [name for name in header if name != "__metadata__"]


def rename_tensors(path: Path, renames: list[tuple[str, str]]) -> None:
    """Replaces the first pattern at the start of a name, or inside where it begins with a mark."""
    header, data = _read(path)
    renamed: dict[str, Any] = {}
    for name, entry in header.items():
        target = name
        for old, new in renames:
            inside = old[0] in "._" and old in target
            if inside or target.startswith(old):
                target = target.replace(old, new, 1)
        renamed[target] = entry
    text = json.dumps(renamed).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]
