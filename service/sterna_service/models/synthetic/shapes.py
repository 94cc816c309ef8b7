"""The sizes of random checkpoints, and the published models whose shape can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """A decoder's sizes and the way its ternary matrices are stored.

    `architecture` is one of
    - "bitnet": sub-norms, squared ReLU;
    - "bitnet-old": sub-norms under the names of 1bitLLM, SwiGLU;
    - "llama": SwiGLU;
    - "qwen3": as llama, with heads that are normalized; "qwen3-bare" has no output head and no
      "model." before its names.

    `storage` is one of
    - "multiply": 2-bit codes, outputs multiplied by weight_scale (autobitlinear, offline);
    - "divide": 2-bit codes, outputs divided by weight_scale (bitlinear);
    - "online-bf16", "online-f32": latent floats that are quantized when the model is loaded;
    - "latent-f32": the same, without a word of it in config.json;
    - "groups": floats -s, 0 and s with a scale for every 128 columns, without a word of it;
    - "packed-groups": the same as 2-bit codes with scales [out, groups].
    """

    architecture: str
    storage: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int = 256
    rope_theta: float = 10000.0
    eps: float = 1e-5
    tied: bool = True
    rope_scaling: Mapping[str, Any] | None = None
    """As in config.json."""
    projection_norm: str = ""
    """What the RMSNorm inside each linear is called, where there is one."""

    ternary_tables: bool = True
    """With groups: embedding and output head are ternary, too."""

    @property
    def has_groups(self) -> bool:
        """Whether columns have scales by groups."""
        return self.storage.endswith("groups")

    @property
    def float_dtype(self) -> str:
        """The safetensors dtype of norms, embeddings and latent weights."""
        return "F32" if self.storage.endswith("-f32") else "BF16"

    @property
    def has_latents(self) -> bool:
        """Whether the projections are floats that are to be made ternary."""
        return self.storage.startswith(("online", "latent"))


GROUP = 128
"""Columns that share a scale, where there are groups."""

# Random weights in the shape of published models: speed hardly depends on their values.
SHAPES: dict[str, Shape] = {
    # microsoft/bitnet-b1.58-2B-4T
    "bitnet-b1.58-2B-4T": Shape(
        "bitnet", "multiply", 2560, 6912, 30, 20, 5, 128, 128256, context=4096, rope_theta=5e5
    ),
    # The same with four layers, for quick trials.
    "bitnet-b1.58-2B-4T-4layers": Shape(
        "bitnet", "multiply", 2560, 6912, 4, 20, 5, 128, 128256, context=4096, rope_theta=5e5
    ),
    # prism-ml/Ternary-Bonsai-1.7B
    "ternary-bonsai-1.7B": Shape(
        "qwen3",
        "packed-groups",
        2048,
        6144,
        28,
        16,
        8,
        128,
        151936,
        context=32768,
        rope_theta=1e6,
        eps=1e-6,
    ),
}


def match_shape(name: str) -> str | None:
    """The key of `SHAPES` that a name means: case and `b1.58-` may differ, as in bitnet-2b-4t."""

    def plain(text: str) -> str:
        return text.lower().replace("b1.58-", "")

    return next((key for key in SHAPES if plain(key) == plain(name)), None)
