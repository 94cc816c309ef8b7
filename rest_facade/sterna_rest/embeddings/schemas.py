"""What the endpoints for embeddings and similarities take and return."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, Tag

from sterna_rest.generation.fields import INT32_MAX, Items, RequestModel
from sterna_rest.generation.text_input import TEXTS_OR_TOKENS, TokenList

MAX_INPUTS = 2048
MAX_SENTENCES = 1000

EncodingFormat = Literal["float", "base64"]

Text = Annotated[str, Field(min_length=1)]
Input = Annotated[
    Annotated[Text, Tag("(string)")]
    | Annotated[Items[Text], Field(min_length=1, max_length=MAX_INPUTS), Tag("(strings)")]
    | Annotated[TokenList, Tag("(tokens)")]
    | Annotated[Items[TokenList], Field(min_length=1, max_length=MAX_INPUTS), Tag("(token lists)")],
    TEXTS_OR_TOKENS,
]

_MODEL = Field(
    None,
    description="Model id, its last path component, or an alias. Empty: the default embedding "
    "model.",
)


_PROMPT_NAME = Field(
    None,
    max_length=128,
    description="The model's own instruction for a kind of text: `query`, `document`, or another "
    "name that it has. Empty: its default one, if it has one.",
)


class EmbeddingRequest(RequestModel):
    """Texts or tokens to turn into vectors."""

    input: Input = Field(
        description="A string, a list of strings, a list of token ids, or a list of such lists. "
        "Each string or list of ids becomes one vector."
    )
    model: str | None = _MODEL
    encoding_format: EncodingFormat | None = Field(
        None,
        description="`float` (the default): numbers. `base64`: the bytes of little-endian 32-bit "
        "floats.",
    )
    dimensions: int | None = Field(
        None,
        ge=1,
        le=INT32_MAX,
        description="Keep this many leading components and scale them to length 1 again; at most "
        "the model's own size.",
    )
    prompt_name: str | None = _PROMPT_NAME
    truncate: bool | None = Field(
        None, description="Cut texts that are too long, rather than refuse them."
    )
    user: str | None = Field(None, description="The end user, for the caller's own records.")

    def inputs(self) -> list[str] | list[list[int]]:
        """What becomes one vector each."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [self.input]
        return self.input


class EmbeddingItem(BaseModel):
    """One vector, of length 1."""

    object: Literal["embedding"]
    index: int = Field(description="Of its input.")
    embedding: list[float] | str = Field(description="Numbers, or base64 when asked for.")


class EmbeddingUsage(BaseModel):
    """Tokens of all inputs together."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """One vector per input, in order."""

    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str = Field(description="The id of the model that made them.")
    usage: EmbeddingUsage


class SimilarityRequest(RequestModel):
    """Texts to compare, each with each."""

    sentences: Items[Text] = Field(min_length=1, max_length=MAX_SENTENCES)
    model: str | None = _MODEL
    prompt_name: str | None = _PROMPT_NAME


class SimilarityBody(BaseModel):
    """How alike the texts are."""

    similarities: list[list[float]] = Field(
        description="Cosines, -1 to 1: row by row, one row and one column per sentence."
    )
    model: str = Field(description="The id of the model that compared them.")
    shape: list[int] = Field(min_length=2, max_length=2, description="Rows and columns.")


class ApiEmbeddingRequest(RequestModel):
    """A text to turn into a vector."""

    input: Text
    model: str | None = _MODEL


class ApiEmbeddingBody(BaseModel):
    """Its vector, of length 1."""

    embedding: list[float]
    model: str = Field(description="The id of the model that made it.")


EMBEDDING_EXAMPLES: dict[str, Any] = {
    "text": {"summary": "A text", "value": {"input": "Terns fly far."}},
    "several": {
        "summary": "Two texts, as base64 of 64 numbers each",
        "value": {
            "input": ["Terns fly far.", "Penguins do not."],
            "encoding_format": "base64",
            "dimensions": 64,
        },
    },
    "tokens": {"summary": "Token ids", "value": {"input": [1, 464, 2068]}},
}
EMBEDDING_EXAMPLE: dict[str, Any] = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.6, -0.8]}],
    "model": "sterna/tern-nano",
    "usage": {"prompt_tokens": 6, "total_tokens": 6},
}
SIMILARITY_EXAMPLES: dict[str, Any] = {
    "texts": {
        "summary": "Two texts",
        "value": {"sentences": ["Terns fly far.", "Penguins do not."]},
    }
}
SIMILARITY_EXAMPLE: dict[str, Any] = {
    "similarities": [[1.0, 0.75], [0.75, 1.0]],
    "model": "sterna/tern-nano",
    "shape": [2, 2],
}
API_EXAMPLES: dict[str, Any] = {"text": {"summary": "A text", "value": {"input": "Hello world"}}}
API_EXAMPLE: dict[str, Any] = {"embedding": [0.6, -0.8], "model": "sterna/tern-nano"}
