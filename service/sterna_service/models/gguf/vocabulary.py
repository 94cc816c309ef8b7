"""A GGUF file's vocabulary as a tokenizer of the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from sterna_service.errors import ModelLoadError, Reason

# Types of tokens, as ggml numbers them.
_CONTROL, _USER_DEFINED, _BYTE = 3, 4, 6

# How text is split before pairs are merged, by the name in `tokenizer.ggml.pre`. The patterns are
# those of the models' own tokenizers: contractions, words, numbers, signs, white space.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_THREE_DIGITS = _WORDS.format(numbers=r"\p{N}{1,3}")
_ONE_DIGIT = _WORDS.format(numbers=r"\p{N}")
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SPLITS = {
    "llama3": _THREE_DIGITS,
    "llama-v3": _THREE_DIGITS,
    "llama-bpe": _THREE_DIGITS,
    "falcon3": _THREE_DIGITS,
    "falcon_e": _THREE_DIGITS,
    "qwen2": _ONE_DIGIT,
    "gpt-2": _GPT2,
}
_NAMED = (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer, and what tokenizer_config.json says beside it."""

    tokenizer: Tokenizer
    config: dict[str, Any]


def read_vocabulary(path: Path, metadata: Mapping[str, Any]) -> Vocabulary:
    """The tokenizer of a file.

    Raises:
        ModelLoadError: It has none, contradicts itself, or is of a kind that is not supported.
    """
    return _Reader(path, metadata).read()


class _Reader:
    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self._path = path
        self._metadata = metadata

    def read(self) -> Vocabulary:
        kind = self._value("model")
        tokens = self._list("tokens", str)
        types = self._list("token_type", int, default=[1] * len(tokens))
        if not tokens or len(types) != len(tokens):
            raise self._invalid("its tokens and their types are not of one number")
        if len(set(tokens)) != len(tokens):
            tokens = _told_apart(tokens)
        if kind == "gpt2":
            tokenizer = self._byte_level(tokens)
        elif kind == "llama":
            tokenizer = self._sentence_piece(tokens)
        else:
            raise ModelLoadError(
                f"{self._path}: tokenizer.ggml.model is {kind!r:.200}; supported: gpt2, llama",
                Reason.MODEL_UNSUPPORTED,
            )
        for special, number in ((True, _CONTROL), (False, _USER_DEFINED)):
            chosen = [
                AddedToken(text, special=special, normalized=False)
                for text, type_ in zip(tokens, types, strict=True)
                if type_ == number
            ]
            (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(chosen)
        return Vocabulary(tokenizer, self._config(tokenizer, tokens))

    def _byte_level(self, tokens: Sequence[str]) -> Tokenizer:
        # Microsoft's file of its 2B model leaves the name out, and is split as Llama 3 is.
        name = self._value("pre", "llama3")
        pattern = _SPLITS.get(name) if isinstance(name, str) else None
        if pattern is None:
            raise ModelLoadError(
                f"{self._path}: tokenizer.ggml.pre is {name!r:.200}; supported: "
                + ", ".join(sorted(_SPLITS)),
                Reason.MODEL_UNSUPPORTED,
            )
        merges = []
        for merge in self._list("merges", str):
            left, _, right = merge.partition(" ")
            merges.append((left, right))
        tokenizer = self._bpe({text: id for id, text in enumerate(tokens)}, merges)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def _sentence_piece(self, tokens: Sequence[str]) -> Tokenizer:
        """Pairs are merged in the order of their scores, as SentencePiece merges them."""
        scores = self._list("scores", float)
        if len(scores) != len(tokens):
            raise self._invalid("its tokens and their scores are not of one number")
        ids = {text: id for id, text in enumerate(tokens)}
        found: list[tuple[float, int, int, str, str]] = []
        for text, score in zip(tokens, scores, strict=True):
            for cut in range(1, min(len(text), 64)):
                left, right = text[:cut], text[cut:]
                if left in ids and right in ids:
                    found.append((-score, ids[left], ids[right], left, right))
        found.sort(key=lambda each: each[:3])
        merges = [(left, right) for *_, left, right in found]
        tokenizer = self._bpe(ids, merges, byte_fallback=True, fuse_unk=True, unk_token=tokens[0])
        if self._value("add_space_prefix", True):
            steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        else:
            steps = [normalizers.Replace(" ", "▁")]
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        return tokenizer

    def _bpe(self, ids: dict[str, int], merges: list[tuple[str, str]], **options: Any) -> Tokenizer:
        try:
            return Tokenizer(BPE(vocab=ids, merges=merges, **options))
        # The library raises plain exceptions.
        except Exception as error:
            raise self._invalid(f"its vocabulary makes no tokenizer ({error})") from None

    def _config(self, tokenizer: Tokenizer, tokens: Sequence[str]) -> dict[str, Any]:
        config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
        for ours, theirs in (
            ("bos", "bos"),
            ("eos", "eos"),
            ("pad", "padding"),
            ("unk", "unknown"),
        ):
            id = self._metadata.get(f"tokenizer.ggml.{theirs}_token_id")
            if isinstance(id, int) and not isinstance(id, bool) and 0 <= id < len(tokens):
                config[f"{ours}_token"] = tokens[id]
        bos = config.get("bos_token")
        # Llama's vocabularies add it unless they say otherwise.
        adds = self._value("add_bos_token", self._value("model") == "llama")
        if bos is not None and adds is True:
            config["add_bos_token"] = True
            try:
                tokenizer.post_processor = TemplateProcessing(
                    single=[bos, "$A"], special_tokens=[(bos, tokenizer.token_to_id(bos))]
                )
            except ValueError as error:
                raise self._invalid(
                    f"its first token {bos[:100]!r} cannot be added to texts ({error})"
                ) from None
        return config

    def _value(self, key: str, default: Any = None) -> Any:
        return self._metadata.get(f"tokenizer.ggml.{key}", default)

    def _list(self, key: str, kind: type, default: list[Any] | None = None) -> list[Any]:
        value = self._value(key, default)
        if not isinstance(value, list) or not all(isinstance(each, kind) for each in value):
            raise self._invalid(
                f"tokenizer.ggml.{key} is missing, or is no list of {kind.__name__}"
            )
        return value

    def _invalid(self, problem: str) -> ModelLoadError:
        return ModelLoadError(f"{self._path}: {problem}")


def _told_apart(tokens: Sequence[str]) -> list[str]:
    """Tokens that nothing can mean, since another one is spelled alike, get names of their own."""
    seen: set[str] = set()
    apart = []
    for id, text in enumerate(tokens):
        apart.append(f"<|unused {id}|>" if text in seen else text)
        seen.add(text)
    return apart
