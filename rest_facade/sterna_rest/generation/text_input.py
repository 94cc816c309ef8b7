"""Texts or tokens: the union that prompts and inputs of the OpenAI API have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field

from sterna_rest.generation.fields import INT32_MAX, Items

TokenId = Annotated[int, Field(ge=0, le=INT32_MAX)]
TokenList = Annotated[Items[TokenId], Field(min_length=1)]


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "(string)"
    if isinstance(value, list):
        first = value[0] if value else ""
        if isinstance(first, str):
            return "(strings)"
        if isinstance(first, list):
            return "(token lists)"
        if isinstance(first, int) and not isinstance(first, bool):
            return "(tokens)"
    return None


# Members are tagged `(string)`, `(strings)`, `(tokens)` and `(token lists)`.
TEXTS_OR_TOKENS = Discriminator(
    _kind,
    custom_error_type="texts_or_tokens",
    custom_error_message="Input should be a string, a list of strings, a list of token ids, "
    "or a list of such lists",
)
