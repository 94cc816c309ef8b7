"""LoRA adapters in plain numpy: PEFT's formula beside each projection of the numpy model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parity.numpy_model import PROJECTIONS, Array, NumpyModel, read_safetensors


@dataclass(frozen=True)
class LowRank:
    """y += scale * (x @ A.T) @ B.T"""

    a: Array  # [rank, in]
    b: Array  # [out, rank]
    scale: float

    def __call__(self, x: Array) -> Array:
        """float [t, in] -> [t, out]."""
        added: Array = (x @ self.a.T.astype(x.dtype)) @ self.b.T.astype(x.dtype)
        added *= x.dtype.type(self.scale)
        return added


class AdaptedNumpyModel(NumpyModel):
    """The numpy model with an adapter, which gets each projection's input before it is rounded."""

    def __init__(self, directory: Path, adapter: Path, *, rounded: bool = True) -> None:
        super().__init__(directory, rounded=rounded)
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = read_safetensors(adapter / "adapter_model.safetensors")
        self._low_rank: dict[str, LowRank] = {}
        for index in range(self.layers):
            for name, path in PROJECTIONS.items():
                module = f"model.layers.{index}.{path}"
                a = tensors.get(f"base_model.model.{module}.lora_A.weight")
                if a is not None:
                    b = tensors[f"base_model.model.{module}.lora_B.weight"]
                    scale = scale_of(config, module, len(a))
                    self._low_rank[f"layers.{index}.{name}"] = LowRank(a, b, scale)

    def _project(self, name: str, x: Array) -> Array:
        y = super()._project(name, x)
        return y + self._low_rank[name](x) if name in self._low_rank else y


def scale_of(config: dict[str, Any], module: str, rank: int) -> float:
    """alpha / r, or with rslora alpha / sqrt(r); the first pattern that matches gives alpha."""
    alpha = config["lora_alpha"]
    for pattern, own in config["alpha_pattern"].items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            alpha = own
            break
    return float(alpha / (rank**0.5 if config["use_rslora"] else rank))
