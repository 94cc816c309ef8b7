"""Makes a tiny synthesis bundle: `python -m tests.support.tiny_voice DIRECTORY` (needs torch).

Its weights are random, from a seed: it drives all of pocket-tts, and what it says is noise. Tests
with it are about form, length, order and time, never about words.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

SEED = 5
LAYERS: dict[str, Any] = {"num_layers": 1, "layer_scale": 0.01}

CONFIG: dict[str, Any] = {
    "default_temperature": 0.3,
    "flow_lm": {
        "dtype": "float32",
        "insert_bos_before_voice": True,
        "flow": {"depth": 2, "dim": 32},
        "lookup_table": {"dim": 64, "tokenizer": "tokenizers"},
        "transformer": {
            "d_model": 64,
            "hidden_scale": 2,
            "max_period": 10_000,
            "num_heads": 4,
            "num_layers": 2,
        },
    },
    "mimi": {
        "channels": 1,
        "dtype": "float32",
        "frame_rate": 12.5,
        "inner_dim": 32,
        "outer_dim": 32,
        "sample_rate": 24_000,
        "quantizer": {"dimension": 32, "output_dimension": 32},
        "seanet": {
            "channels": 1,
            "compress": 2,
            "dilation_base": 2,
            "dimension": 32,
            "kernel_size": 7,
            "last_kernel_size": 3,
            "n_filters": 4,
            "n_residual_layers": 1,
            "pad_mode": "constant",
            "ratios": [6, 5, 4],
            "residual_kernel_size": 3,
        },
        "transformer": {
            "context": 250,
            "d_model": 32,
            "dim_feedforward": 64,
            "input_dimension": 32,
            "num_heads": 2,
            "output_dimensions": [32],
            **LAYERS,
        },
    },
}


def make(bundle: Path, config: dict[str, Any] = CONFIG) -> None:
    """Writes the configuration, random weights, a tokenizer of bytes and two voices."""
    import torch
    import yaml
    from pocket_tts import TTSModel, export_model_state
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    logging.disable()  # it says that the model has no weights, which is the point
    (bundle / "voices").mkdir(parents=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(bundle / "tokenizer.json"))
    config["flow_lm"]["lookup_table"] |= {
        "tokenizer": "tokenizers",
        "n_bins": len(alphabet),
        "tokenizer_path": str(bundle / "tokenizer.json"),
    }
    (bundle / "model.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(SEED)
    model = TTSModel.load_model(config=bundle / "model.yaml")
    save_file(model.state_dict(), bundle / "model.safetensors")
    for index, name in enumerate(("alba", "marius")):
        torch.manual_seed(SEED + index)
        state = model.get_state_for_audio_prompt(torch.randn(1, 24_000 * 3) * 0.1)
        export_model_state(state, bundle / "voices" / f"{name}.safetensors")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
