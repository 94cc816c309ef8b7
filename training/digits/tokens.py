"""The recogniser's tokens: Whisper's layout, with words for the digits and four languages.

Byte-level BPE pieces come first, then `<|endoftext|>`, `<|startoftranscript|>`, the languages, the
tasks, and 1501 timestamps of 20 ms.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LANGUAGES = ("en", "fr", "de", "es")
TIMESTAMPS = 1501
TIMESTAMP_SECONDS = 0.02

# The byte whose piece stands for the empty token: see `vocabulary`.
_EMPTY_PIECE = 5


def build_tokenizer() -> Tokenizer:
    """The tokenizer: every digit's name, with the space before it, is one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=lambda c: (ord(c) > 255, c))
    vocabulary = {piece: index for index, piece in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        left = "Ġ"
        for letter in word:
            if left + letter not in vocabulary:
                vocabulary[left + letter] = len(vocabulary)
                merges.append((left, letter))
            left += letter
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{language}|>" for language in LANGUAGES),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
        *(f"<|{index * TIMESTAMP_SECONDS:.2f}|>" for index in range(TIMESTAMPS)),
    ]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return tokenizer


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """The tokens by id, as CTranslate2 wants them.

    It takes a vocabulary for a multilingual one if and only if the empty token is in it, as in
    Whisper's own; the piece of a byte that no digit needs gives its place.
    """
    by_id = {index: token for token, index in tokenizer.get_vocab(with_added_tokens=True).items()}
    tokens = [by_id[index] for index in range(len(by_id))]
    tokens[_EMPTY_PIECE] = ""
    return tokens


def special(tokenizer: Tokenizer, name: str) -> int:
    """The id of `<|name|>`."""
    index = tokenizer.token_to_id(f"<|{name}|>")
    assert isinstance(index, int)
    return index


def timestamp(tokenizer: Tokenizer, seconds: float) -> int:
    """The id of the timestamp that is nearest to so many seconds."""
    return special(tokenizer, "0.00") + round(seconds / TIMESTAMP_SECONDS)


def write_json(path: Path, value: Any) -> None:
    """Writes compact JSON."""
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
