"""The shapes of the random checkpoints that make_tiny_checkpoint.py writes."""

from __future__ import annotations

from sterna_service.models.synthetic.shapes import SHAPES, Shape

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
    # One layer as wide as bitnet-b1.58-2B-4T, with a small vocabulary.
    "bitnet-multiply-wide": Shape(
        "bitnet", "multiply", 2560, 6912, 1, 20, 5, 128, 512, rope_theta=5e5
    ),
}

PRESETS: dict[str, Shape] = _TINY | SHAPES
TINY_PRESETS: tuple[str, ...] = tuple(_TINY)
