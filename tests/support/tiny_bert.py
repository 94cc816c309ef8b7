"""A real BERT, small, with random weights, and the same in numpy.

Architecture: BERT (arXiv:1810.04805) as in transformers' `BertModel`: post-norm layers, erf GELU,
learned positions, token types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

HIDDEN, HEADS, LAYERS, INNER, POSITIONS = 32, 4, 2, 64, 64
EPSILON = 1e-12

# fmt: off
WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "terns", "tern", "fly", "far",
    "penguins", "do", "not", "swim", "well", "in", "of", "sea", "sky", "capital", "france",
    "is", "paris", "italy", "rome", "query", ":", "document", "task", "search", "result", "|",
    "title", "none", "text",
]
# fmt: on

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]


def make_weights(seed: int = 0) -> dict[str, Floats]:
    """The weights of the encoder, with the names of transformers' `BertModel`."""
    random = np.random.default_rng(seed)

    def matrix(*shape: int) -> Floats:
        return (random.standard_normal(shape) * 0.2).astype(np.float32)

    def norm(name: str) -> None:
        weights[f"{name}.weight"] = 1 + matrix(HIDDEN)
        weights[f"{name}.bias"] = matrix(HIDDEN)

    weights: dict[str, Floats] = {
        "embeddings.word_embeddings.weight": matrix(len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": matrix(POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": matrix(2, HIDDEN),
    }
    norm("embeddings.LayerNorm")
    for index in range(LAYERS):
        layer = f"encoder.layer.{index}"
        for name, shape in {
            "attention.self.query": (HIDDEN, HIDDEN),
            "attention.self.key": (HIDDEN, HIDDEN),
            "attention.self.value": (HIDDEN, HIDDEN),
            "attention.output.dense": (HIDDEN, HIDDEN),
            "intermediate.dense": (INNER, HIDDEN),
            "output.dense": (HIDDEN, INNER),
        }.items():
            weights[f"{layer}.{name}.weight"] = matrix(*shape)
            weights[f"{layer}.{name}.bias"] = matrix(shape[0])
        norm(f"{layer}.attention.output.LayerNorm")
        norm(f"{layer}.output.LayerNorm")
    return weights


def bert_states(weights: Weights, ids: Sequence[int]) -> Floats:
    """The final states of one text, [tokens, hidden], in double precision."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    tokens = len(ids)

    def linear(name: str, x: Any) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][list(ids)]
    x = x + w["embeddings.position_embeddings.weight"][:tokens]
    x = norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
    size = HIDDEN // HEADS
    for index in range(LAYERS):
        layer = f"encoder.layer.{index}"
        q, k, v = (
            linear(f"{layer}.attention.self.{name}", x)
            .reshape(tokens, HEADS, size)
            .transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(size)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ v).transpose(1, 0, 2).reshape(tokens, HIDDEN)
        x = norm(
            f"{layer}.attention.output.LayerNorm",
            x + linear(f"{layer}.attention.output.dense", mixed),
        )
        inner = linear(f"{layer}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(f"{layer}.output.LayerNorm", x + linear(f"{layer}.output.dense", inner))
    result: Floats = x.astype(np.float32)
    return result
