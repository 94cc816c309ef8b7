"""Texts to the tokens of a sentence encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer as HfTokenizer

from sterna_service.errors import ModelLoadError
from sterna_service.files import read_json
from sterna_service.tokenizer_file import damage_refused, open_tokenizer


class EncoderTokenizer:
    """The tokenizer of one encoder, with the special tokens that it adds. Thread-safe."""

    def __init__(self, backend: HfTokenizer, pad_token_id: int, longest: int) -> None:
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._cutting = HfTokenizer.from_str(backend.to_str())
        self._cutting.enable_truncation(longest)
        self.pad_token_id = pad_token_id
        self.vocabulary_size: int = 1 + max(backend.get_vocab(with_added_tokens=True).values())

    def encode(self, texts: Sequence[str], *, truncate: bool) -> list[list[int]]:
        """The tokens of each text; with `truncate`, no more than the longest text may have."""
        backend = self._cutting if truncate else self._backend
        # A batch lets other threads run meanwhile.
        return [list(each.ids) for each in backend.encode_batch(list(texts))]


def load_tokenizer(directory: Path, longest: int) -> EncoderTokenizer:
    """Reads `tokenizer.json`. Blocks.

    Raises:
        ModelLoadError: It is missing or damaged.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise ModelLoadError(
            f"{path}: no such file; save the tokenizer in this form (AutoTokenizer does with "
            "use_fast=True)"
        )
    backend = open_tokenizer(path)
    with damage_refused(path):
        return EncoderTokenizer(backend, _pad_token_id(directory, backend), longest)


def _pad_token_id(directory: Path, backend: HfTokenizer) -> int:
    """Whatever stands at padded places is masked; it only has to be a token."""
    declared = read_json(directory / "tokenizer_config.json", missing={}).get("pad_token")
    if isinstance(declared, dict):
        declared = declared.get("content")
    found = backend.token_to_id(declared) if isinstance(declared, str) else None
    return found or 0
