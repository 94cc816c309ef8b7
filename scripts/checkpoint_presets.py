"""The shapes of the random checkpoints that make_tiny_checkpoint.py writes."""

from __future__ import annotations

from typing import Any

from sterna_service.models.synthetic.shapes import SHAPES, Shape


def _scaling(rope_type: str, **values: Any) -> dict[str, Any]:
    return {"rope_type": rope_type, **values}


def _longrope(original: int) -> dict[str, Any]:
    return _scaling(
        "longrope",
        short_factor=[1.0 + i / 50 for i in range(24)],
        long_factor=[1.0 + i / 5 for i in range(24)],
        original_max_position_embeddings=original,
    )


_YARN = _scaling("yarn", factor=4.0, original_max_position_embeddings=64)

# The tiny shapes are odd on purpose: widths that no vector register divides, vocabularies that
# no tile divides, every group size from 1 to 5 and each head width that published models have.
_TINY: dict[str, Shape] = {
    "bitnet-multiply": Shape("bitnet", "multiply", 128, 384, 2, 2, 1, 64, 512),
    "bitnet-multiply-hd32": Shape("bitnet", "multiply", 160, 344, 2, 5, 1, 32, 333),
    "bitnet-multiply-hd96": Shape("bitnet", "multiply", 288, 500, 2, 3, 1, 96, 389),
    "bitnet-multiply-hd100": Shape(
        "bitnet", "multiply", 200, 540, 2, 2, 2, 100, 301, rope_theta=5e5, eps=1e-6
    ),
    "bitnet-divide": Shape("bitnet", "divide", 192, 420, 2, 6, 3, 32, 451, tied=False),
    "bitnet-online-bf16": Shape("bitnet", "online-bf16", 256, 360, 2, 4, 1, 64, 410),
    "bitnet-online-f32": Shape("bitnet", "online-f32", 100, 270, 2, 1, 1, 100, 307, tied=False),
    "llama-divide": Shape(
        "llama", "divide", 144, 408, 2, 4, 2, 32, 515, rope_theta=5e5, tied=False
    ),
    "llama-divide-hd96": Shape("llama", "divide", 212, 332, 2, 4, 1, 96, 423, eps=1e-6),
    "llama-multiply-hd64": Shape("llama", "multiply", 140, 260, 3, 5, 1, 64, 350, tied=False),
    # Heads of a size of their own, with norms; and a norm inside every linear.
    "qwen3-multiply": Shape(
        "qwen3", "multiply", 144, 344, 2, 4, 2, 64, 421, rope_theta=1e6, eps=1e-6
    ),
    "qwen3-divide": Shape(
        "qwen3", "divide", 96, 300, 2, 2, 1, 128, 389, rope_theta=1e6, eps=1e-6, tied=False
    ),
    "qwen3-embedding": Shape(
        "qwen3-bare", "latent-f32", 112, 244, 2, 3, 1, 64, 307, eps=1e-6, projection_norm="norm"
    ),
    # The names and the declaration of 1bitLLM, with a width that neither 128 nor 256 divides.
    "bitnet-old": Shape("bitnet-old", "latent-f32", 128, 270, 2, 2, 2, 64, 389, eps=1e-6),
    # Positions beyond the context of pre-training.
    "llama-linear": Shape(
        "llama", "divide", 96, 200, 2, 2, 1, 48, 307, rope_scaling=_scaling("linear", factor=4.0)
    ),
    "llama-llama3": Shape(
        "llama",
        "divide",
        96,
        200,
        2,
        2,
        1,
        48,
        307,
        rope_scaling=_scaling(
            "llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=32,
        ),
    ),
    "llama-yarn": Shape("llama", "divide", 96, 200, 2, 2, 1, 48, 307, rope_scaling=_YARN),
    "llama-longrope": Shape(
        "llama", "divide", 96, 200, 2, 2, 1, 48, 307, rope_scaling=_longrope(24)
    ),
    "llama-longrope-short": Shape(
        "llama", "divide", 96, 200, 2, 2, 1, 48, 307, rope_scaling=_longrope(64)
    ),
    # One layer as wide as bitnet-b1.58-2B-4T, with a small vocabulary.
    "bitnet-multiply-wide": Shape(
        "bitnet", "multiply", 2560, 6912, 1, 20, 5, 128, 512, rope_theta=5e5
    ),
}

# Trained with float activations, and ternary by groups of 128 columns; in the manner of
# Ternary-Bonsai and, the last, of BitCPM.
_GROUPED: dict[str, Shape] = {
    "qwen3-groups": Shape(
        "qwen3", "groups", 192, 448, 2, 4, 2, 64, 421, rope_theta=1e6, rope_scaling=_YARN
    ),
    "qwen3-groups-untied": Shape("qwen3", "groups", 256, 320, 2, 2, 1, 128, 389, tied=False),
    "llama-groups": Shape(
        "llama",
        "groups",
        144,
        300,
        2,
        3,
        1,
        48,
        307,
        rope_scaling=_longrope(24),
        ternary_tables=False,
    ),
}

PRESETS: dict[str, Shape] = _TINY | _GROUPED | SHAPES
TINY_PRESETS: tuple[str, ...] = tuple(_TINY)
GROUPED_PRESETS: tuple[str, ...] = tuple(_GROUPED)
