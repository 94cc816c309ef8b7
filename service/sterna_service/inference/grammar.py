"""Constrained output: which tokens may come next, for a JSON schema, a regex or a grammar.

The masks are computed by `llguidance`, one per token, while the engine computes the same position.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llguidance import LLMatcher, LLTokenizer

from sterna_service.errors import Reason, ServiceError, invalid, out_of_range
from sterna_service.inference import json_text
from sterna_service.inference.json_bounds import bounded
from sterna_service.inference.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

LONGEST_GRAMMAR_BYTES = 256 * 1024
MOST_TEXTS = 1024

# Models trained on prose tend to fill free whitespace for ever.
JSON_LAYOUT: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON value that matches this schema (JSON text)."""

    schema: str

    def within(self, room: int) -> JsonSchema:
        """The same with values of about `room` characters at most; unchanged if that is enough."""
        try:
            parsed = json_text.parse(self.schema)
        except ValueError:
            return self
        if not isinstance(parsed, dict):
            return self
        limited = bounded(parsed, room)
        return self if limited is parsed else JsonSchema(json.dumps(limited, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class AnyJsonObject:
    """A JSON object of any shape."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A text that matches this regular expression as a whole."""

    pattern: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these texts."""

    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Lark:
    """A context-free grammar in Lark syntax."""

    grammar: str


OutputGrammar = JsonSchema | AnyJsonObject | Regex | OneOf | Lark


class Guide:
    """Follows one choice through a grammar."""

    def __init__(self, matcher: LLMatcher, mask_bytes: int, end_mask: bytes) -> None:
        self._matcher = matcher
        self._mask_bytes = mask_bytes
        self._end_mask = end_mask

    def mask(self) -> bytes:
        """The tokens that may come next: bit t % 8 of byte t // 8 stands for token t.

        Raises:
            ServiceError: The grammar became too complex to follow.
        """
        if self._matcher.is_stopped() and not self._matcher.is_error():
            return self._end_mask
        mask = self._matcher.compute_bitmask()[: self._mask_bytes]
        self._check()
        # Nothing fits: the text is complete.
        return mask if any(mask) else self._end_mask

    def next(self, longest_run: int) -> tuple[list[int], bytes]:
        """The tokens that must come, which are taken at once, and the mask behind them.

        A token is forced where the mask allows it alone, so the answer is the one that a mask for
        each token would give: llguidance writes texts without an alternative in the tokenizer's own
        way, and allows no other.

        Raises:
            ServiceError: As `mask`.
        """
        forced: list[int] = []
        while True:
            mask = self.mask()
            token = _only_token(mask) if len(forced) < longest_run else None
            if token is None:
                return forced, mask
            forced.append(token)
            if self._matcher.is_stopped() or mask is self._end_mask:
                return forced, mask
            self.accept(token)

    def accept(self, token_id: int) -> None:
        """Takes the token that was chosen under the mask.

        Raises:
            ServiceError: As `mask`.
        """
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token_id)
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise _unusable(self._matcher.get_error())


def _only_token(mask: bytes) -> int | None:
    """The token that a mask allows, if it is the only one."""
    bits = int.from_bytes(mask, "little")
    return bits.bit_length() - 1 if bits.bit_count() == 1 else None


class GrammarCompiler:
    """Compiles grammars for one model. Blocks; safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, vocabulary_size: int) -> None:
        """`vocabulary_size` is the model's own, padding included."""
        self._source = tokenizer
        self._vocabulary_size = vocabulary_size
        self._mask_bytes = (vocabulary_size + 31) // 32 * 4
        end_mask = bytearray(self._mask_bytes)
        for token in tokenizer.end_tokens:
            end_mask[token // 8] |= 1 << token % 8
        self._end_mask = bytes(end_mask)
        # Made when first needed: it takes a quarter of a second for a large vocabulary.
        self._tokenizer: LLTokenizer | None = None
        self._lock = threading.Lock()

    def compile(
        self, grammar: OutputGrammar, choices: int, field: str, *, room: int | None = None
    ) -> list[Guide]:
        """A guide for each choice; `field` is where the grammar stands in the request.

        With `room`, the values of a JSON schema have about that many characters at most.

        Raises:
            ServiceError: GRAMMAR_INVALID, with the position, or the grammar is too long.
        """
        if room is not None and isinstance(grammar, JsonSchema):
            tighter = grammar.within(room)
            if tighter is not grammar:
                with contextlib.suppress(ServiceError):
                    return self.compile(tighter, choices, field)
        source = _source(grammar, field)
        matcher = LLMatcher(self._ready_tokenizer(), source, log_level=0)
        if matcher.is_error():
            raise _unusable(matcher.get_error(), field)
        matchers = [matcher] + [matcher.deep_copy() for _ in range(choices - 1)]
        return [Guide(each, self._mask_bytes, self._end_mask) for each in matchers]

    def problem(self, lark: str) -> str | None:
        """What is wrong with a Lark grammar; None if nothing is."""
        grammar = LLMatcher.grammar_from_lark(lark)
        matcher = LLMatcher(self._ready_tokenizer(), grammar, log_level=0)
        return matcher.get_error() if matcher.is_error() else None

    def _ready_tokenizer(self) -> LLTokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = LLTokenizer(
                    self._source.to_json(),
                    n_vocab=self._vocabulary_size,
                    eos_token=sorted(self._source.end_tokens),
                )
            return self._tokenizer


def _source(grammar: OutputGrammar, field: str) -> str:
    match grammar:
        case JsonSchema(schema):
            field = f"{field}.json_schema"
            _check_length(schema, field)
            try:
                parsed = json_text.parse(schema)
                if not isinstance(parsed, dict | bool):
                    raise _unusable("a schema is an object", field)
                # The compiler is stricter: it takes no NaN, and no number that is infinite.
                return _json_grammar(schema)
            except ValueError as error:
                raise _unusable(f"not JSON: {error}", field) from None
        case AnyJsonObject():
            return _json_grammar('{"type": "object"}')
        case Regex(pattern):
            _check_length(pattern, f"{field}.regex")
            return LLMatcher.grammar_from_regex(pattern)
        case Lark(text):
            _check_length(text, f"{field}.lark")
            return LLMatcher.grammar_from_lark(text)
        case OneOf(texts):
            field = f"{field}.choice.texts"
            if not 1 <= len(texts) <= MOST_TEXTS:
                raise out_of_range(field, f"1 to {MOST_TEXTS} texts", len(texts))
            if not all(texts):
                raise invalid(field, "must not hold an empty text")
            _check_length("".join(texts), field)
            alternatives = " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)
            return LLMatcher.grammar_from_lark(f"start: {alternatives}")


def _json_grammar(schema: str) -> str:
    return LLMatcher.grammar_from_json_schema(schema, JSON_LAYOUT)


def _check_length(text: str, field: str) -> None:
    length = len(text.encode())
    if not length:
        raise invalid(field, "must not be empty")
    if length > LONGEST_GRAMMAR_BYTES:
        raise out_of_range(field, f"at most {LONGEST_GRAMMAR_BYTES} bytes long", length)


def _unusable(problem: str, field: str | None = None) -> ServiceError:
    """One line of what the compiler says, the position included."""
    line = " ".join(problem.split())[:500]
    return ServiceError(
        Reason.GRAMMAR_INVALID,
        f"the output grammar cannot be used: {line}",
        field=field,
        metadata={"field": field} if field else {},
    )
