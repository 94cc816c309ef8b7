"""A model's tokenizer: text to tokens, tokens to text, and which tokens end an answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Encoding
from tokenizers import Tokenizer as HfTokenizer

from sterna_service.errors import ModelLoadError
from sterna_service.files import read_json
from sterna_service.inference.infill import find_infill
from sterna_service.tokenizer_file import definition_of, open_tokenizer

# End tokens by name, for the many checkpoints whose configuration forgets one of them.
_WELL_KNOWN_ENDS = ("<|eot_id|>", "<|im_end|>", "<|end_of_text|>", "<|endoftext|>", "</s>")

# Models pad their vocabulary to a round size; a tokenizer much smaller is another model's.
_SMALLEST_SHARE_OF_VOCABULARY = 0.9

# Texts with more characters take milliseconds to encode.
_LONG_TEXT = 8 * 1024
_MANY_TOKENS = 8 * 1024

_NAMED_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class _Scheme(Enum):
    """How the text of a token is spelled in the vocabulary."""

    BYTE_LEVEL = "ByteLevel"
    SENTENCEPIECE = "SentencePiece"


class Tokenizer:
    """The tokenizer of one checkpoint. Safe to use from several threads."""

    def __init__(
        self,
        backend: HfTokenizer,
        config: Mapping[str, Any],
        end_tokens: frozenset[int],
        scheme: _Scheme,
    ) -> None:
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._scheme = scheme
        # What ignores control tokens is a tokenizer of its own, made when it is first needed: the
        # library has a switch for it, which would change what other threads are just encoding.
        self._plain_backend: HfTokenizer | None = None
        self._plain_lock = threading.Lock()
        added = backend.get_added_tokens_decoder()
        self.end_tokens = end_tokens
        """The model's own end tokens."""
        self.special_tokens = frozenset(id for id, token in added.items() if token.special)
        """Tokens that are markers and no text."""
        self.infill = find_infill({token.content: id for id, token in added.items()})
        """How gaps are filled; None: the model was not trained to."""
        marks = frozenset() if self.infill is None else self.infill.ends
        self.control_tokens: Mapping[str, int] = {
            token.content: id
            for id, token in added.items()
            if token.content and (token.special or id in end_tokens or id in marks)
        }
        """Spellings that nobody but the template may turn into a token, with their ids."""
        self.named_tokens: Mapping[str, str] = {
            f"{name}_token": text
            for name in _NAMED_TOKENS
            if (text := _token_text(config.get(f"{name}_token"))) is not None
        }
        """`bos_token` and its like, as templates know them."""
        self.bos_token_id = self._id_of(self.named_tokens.get("bos_token"))
        self.eos_token_id = self._id_of(self.named_tokens.get("eos_token"))
        self._adds_bos = config.get("add_bos_token")
        vocabulary = backend.get_vocab(with_added_tokens=True)
        self.vocabulary_size = 1 + max(vocabulary.values())
        """One more than the largest id."""
        self.longest_token = max(map(len, vocabulary))
        """The most characters that one token can stand for."""
        self.token_bytes = lru_cache(maxsize=65536)(self._token_bytes)

    def encode(self, text: str, *, add_special_tokens: bool | None = None) -> list[int]:
        """Tokens of raw text, in which control tokens count as such.

        `add_special_tokens` says whether the tokenizer puts its begin-of-text token (and whatever
        else it is configured to add) around them; None leaves it to the configuration.
        """
        configured = add_special_tokens is None
        encoding = _encode(self._backend, text, configured or bool(add_special_tokens))
        ids = list(encoding.ids)
        bos = self.bos_token_id
        # Only some tokenizers say in tokenizer.json what tokenizer_config.json asks for.
        wanted = self._adds_bos is True if configured else bool(add_special_tokens)
        if wanted and self._adds_bos is not False and bos is not None and ids[:1] != [bos]:
            ids.insert(0, bos)
        return ids

    def encode_rendered(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Tokens of rendered template text and, for each, its span of characters in it.

        Nothing is added: the template writes everything.
        """
        encoding = _encode(self._backend, text, add_special_tokens=False)
        return list(encoding.ids), list(encoding.offsets)

    def encode_plain(self, text: str) -> list[int]:
        """Tokens of text in which the spellings of special tokens are ordinary text."""
        with self._plain_lock:
            if self._plain_backend is None:
                backend = HfTokenizer.from_str(self._backend.to_str())
                backend.encode_special_tokens = True
                self._plain_backend = backend
        return list(_encode(self._plain_backend, text, add_special_tokens=False).ids)

    def to_json(self) -> str:
        """The whole tokenizer as the JSON of its library."""
        return self._backend.to_str()

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of tokens that stand at the beginning; U+FFFD where bytes are no character."""
        if len(ids) < _MANY_TOKENS:
            return self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        # As in `_encode`: only batches leave the other threads alone.
        return self._backend.decode_batch([list(ids)], skip_special_tokens=skip_special_tokens)[0]

    def token_text(self, token_id: int) -> str:
        """The text of one token in the middle of others; U+FFFD for part of a character."""
        return self.token_bytes(token_id).decode("utf-8", errors="replace")

    def _id_of(self, text: str | None) -> int | None:
        return None if text is None else self._backend.token_to_id(text)

    def _token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; empty for ids that the tokenizer does not know."""
        text = self._backend.id_to_token(token_id)
        if text is None:
            return b""
        if text in self.control_tokens:
            return text.encode()
        if self._scheme is _Scheme.BYTE_LEVEL:
            try:
                return bytes(_BYTE_OF_CHARACTER[character] for character in text)
            except KeyError:
                return text.encode()
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            return bytes.fromhex(text[3:5])
        return text.replace("▁", " ").encode()


def load_tokenizer(
    checkpoint: Path, model_vocabulary_size: int | None, source: Path | None = None
) -> Tokenizer:
    """Reads the tokenizer of a checkpoint and, if the model's size is known, checks that it fits.

    With `source`, the tokenizer comes from that directory; what ends an answer, from both.

    Raises:
        ModelLoadError: A file is missing or damaged, or the vocabularies do not match.
    """
    directory = source or checkpoint
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise ModelLoadError(_missing_tokenizer(path))
    backend = open_tokenizer(path)
    config = read_json(directory / "tokenizer_config.json", missing={})
    scheme = _scheme_of(path, backend)
    tokenizer = Tokenizer(backend, config, _end_tokens(checkpoint, backend, config), scheme)
    if model_vocabulary_size is not None:
        _check_vocabulary(path, tokenizer.vocabulary_size, model_vocabulary_size)
    return tokenizer


def _missing_tokenizer(path: Path) -> str:
    if (path.parent / "tokenizer.model").is_file():
        return (
            f"{path}: no such file; the tokenizer.model beside it (SentencePiece) is not read, but "
            "transformers converts it: "
            "AutoTokenizer.from_pretrained(DIRECTORY).save_pretrained(DIRECTORY)"
        )
    return (
        f"{path}: no such file; put the model's tokenizer.json there, or name a directory that has "
        "it in the setting tokenizers"
    )


def _check_vocabulary(path: Path, size: int, model_size: int) -> None:
    remedy = "take the tokenizer that belongs to the model (the setting tokenizers names another)"
    if size > model_size:
        raise ModelLoadError(
            f"{path}: its vocabulary has {size} tokens, but the model knows only {model_size}; "
            f"{remedy}"
        )
    if size < model_size * _SMALLEST_SHARE_OF_VOCABULARY:
        raise ModelLoadError(
            f"{path}: its vocabulary has only {size} of the model's {model_size} tokens; {remedy}"
        )


def _encode(backend: HfTokenizer, text: str, add_special_tokens: bool) -> Encoding:
    if len(text) < _LONG_TEXT:
        return backend.encode(text, add_special_tokens=add_special_tokens)
    # The library lets other threads run only while it encodes a batch.
    return backend.encode_batch([text], add_special_tokens=add_special_tokens)[0]


def _end_tokens(
    checkpoint: Path, backend: HfTokenizer, tokenizer_config: Mapping[str, Any]
) -> frozenset[int]:
    """The union of what all files and customs call an end token.

    Checkpoints are careless here, and a missing end token makes a model talk to itself.
    """
    ends: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        declared = read_json(checkpoint / name, missing={}).get("eos_token_id")
        for value in declared if isinstance(declared, list) else [declared]:
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                ends.add(value)
    special = {t.content for t in backend.get_added_tokens_decoder().values() if t.special}
    names = [name for name in _WELL_KNOWN_ENDS if name in special]
    eos = _token_text(tokenizer_config.get("eos_token"))
    if eos is not None:
        names.append(eos)
    for name in names:
        id = backend.token_to_id(name)
        if id is not None:
            ends.add(id)
    # An id beyond the vocabulary never comes, and would not fit the engine's integers.
    size = 1 + max(backend.get_vocab(with_added_tokens=True).values())
    return frozenset(id for id in ends if id < size)


def _scheme_of(path: Path, backend: HfTokenizer) -> _Scheme:
    decoder = definition_of(backend.decoder)
    kinds = {part.get("type") for part in decoder.get("decoders", [decoder])}
    if "ByteLevel" in kinds:
        return _Scheme.BYTE_LEVEL
    if kinds & {"Metaspace", "ByteFallback"}:
        return _Scheme.SENTENCEPIECE
    names = ", ".join(sorted(str(kind) for kind in kinds))
    raise ModelLoadError(
        f"{path}: its decoder ({names}) is not supported; byte-level and SentencePiece ones are"
    )


def _token_text(value: Any) -> str | None:
    """A token in tokenizer_config.json: a string, or an object that holds one."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _byte_alphabet() -> dict[str, int]:
    """The characters by which byte-level vocabularies spell bytes.

    Printable Latin-1 bytes spell themselves; the others count up from U+0100.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + i): byte for i, byte in enumerate(others)})
    return alphabet


_BYTE_OF_CHARACTER = _byte_alphabet()
