"""Write tests/data/golden/encoder.npz: states of the tiny BERT as transformers computes them.

python -m tests.golden.make_encoder_golden      (with torch and transformers, see README.md)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel

from tests.support.tiny_bert import (
    EPSILON,
    HEADS,
    HIDDEN,
    INNER,
    LAYERS,
    POSITIONS,
    WORDS,
    make_weights,
)

TEXTS = ([2, 7, 9, 10, 3], [2, 5, 20, 17, 21, 22, 23, 3], [2, 3])
TARGET = Path(__file__).resolve().parents[1] / "data" / "golden" / "encoder.npz"


def main() -> None:
    """Loads the weights into transformers' model and keeps its last hidden states."""
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=POSITIONS,
        layer_norm_eps=EPSILON,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    weights = {name: torch.from_numpy(value) for name, value in make_weights().items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert not [name for name in missing if "position_ids" not in name], missing
    found: dict[str, Any] = {}
    for index, ids in enumerate(TEXTS):
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        found[f"ids{index}"] = np.array(ids)
        found[f"states{index}"] = states.numpy()
    np.savez_compressed(TARGET, **found)


if __name__ == "__main__":
    main()
