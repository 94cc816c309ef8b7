"""Writes the seeds of the Python fuzzers: python -m tests.fuzz.seeds TARGET DIRECTORY."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sterna_service.models.synthetic.checkpoint import make_checkpoint
from sterna_service.models.synthetic.shapes import Shape
from tests.fuzz import TEXT_FILES, TEXT_SEPARATOR
from tests.support.gguf_writer import f32, gguf_of, i2_s, pq2_0, q2_0, tq2_0, write_gguf

_SHAPES = {
    "bitnet-25": Shape("bitnet", "multiply", 256, 256, 1, 2, 1, 128, 300),
    "llama": Shape("llama", "multiply", 256, 256, 1, 2, 1, 128, 300, tied=False),
}
_TOKENS = 16
_PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(9)), "▁", "h", "e", "he"]
_VOCABULARIES: dict[str, dict[str, Any]] = {
    "bytes": {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["t", "1", *(f"t{i}" for i in range(_TOKENS - 2))],
        "tokenizer.ggml.merges": ["t 1"],
    },
    "pieces": {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": _PIECES,
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 9, 1, 1, 1, 1],
        "tokenizer.ggml.scores": [0.0] * 12 + [-1.0, -2.0, -3.0, -4.0],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    },
}


def write_gguf_seeds(directory: Path, scratch: Path) -> None:
    """Each architecture and type of block, with both kinds of vocabulary."""
    for architecture, shape in _SHAPES.items():
        source = scratch / architecture
        make_checkpoint(source, shape, 7)
        for pack in (i2_s, tq2_0, q2_0, pq2_0):
            metadata, tensors = gguf_of(source, pack, architecture=architecture, vocabulary=False)
            # Small, so that mutations reach more than the rows of an embedding.
            for name in {"token_embd.weight", "output.weight"} & tensors.keys():
                tensors[name] = f32(np.ones((_TOKENS, shape.hidden)))
            for kind, vocabulary in _VOCABULARIES.items():
                name = f"{architecture}-{pack.__name__}-{kind}"
                write_gguf(directory / name, metadata | vocabulary, tensors)


def write_tokenizer_seeds(directory: Path, scratch: Path) -> None:
    """The text parts of small checkpoints."""
    for architecture, shape in _SHAPES.items():
        source = scratch / architecture
        make_checkpoint(source, shape, 7)
        parts = [
            (source / name).read_bytes() if (source / name).is_file() else b""
            for name in TEXT_FILES
        ]
        (directory / architecture).write_bytes(TEXT_SEPARATOR.join(parts))


def main(target: str, directory: Path) -> None:
    """Writes the seeds of `target` into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        writers = {"gguf": write_gguf_seeds, "tokenizer": write_tokenizer_seeds}
        writers[target](directory, Path(scratch))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
