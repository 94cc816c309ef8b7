"""What `/tokenize` and `/detokenize` take and return."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from sterna_rest.chat.schemas import Message
from sterna_rest.generation.fields import INT32_MAX, Items, RequestModel

MAX_TOKENS = 1_000_000

_MODEL = Field(None, description="As in a generation request. Empty: the default model.")


class TokenizeRequest(RequestModel):
    """A text or a conversation; exactly one of them."""

    model: str | None = _MODEL
    prompt: str | None = Field(None, description="Raw text.")
    messages: Items[Message] | None = Field(
        None, min_length=1, description="A conversation, rendered by the model's template."
    )
    add_special_tokens: bool | None = Field(
        None, description="With `prompt`: whether the begin-of-text token is added."
    )
    continue_final_message: bool | None = Field(
        None, description="With `messages`: go on with the last one, which is the assistant's."
    )
    return_token_strs: bool | None = Field(None, description="List the text of each token, too.")

    @model_validator(mode="after")
    def _exactly_one(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError("one_input", "Give either prompt or messages")
        return self


class TokenizeBody(BaseModel):
    """The tokens."""

    count: int
    max_model_len: int = Field(description="The model's context window, in tokens.")
    tokens: list[int]
    token_strs: list[str] | None = Field(description="When asked for.")


class DetokenizeRequest(RequestModel):
    """Tokens to spell out."""

    model: str | None = _MODEL
    tokens: Items[Annotated[int, Field(ge=0, le=INT32_MAX)]] = Field(max_length=MAX_TOKENS)


class DetokenizeBody(BaseModel):
    """Their text; U+FFFD where the bytes are no whole character."""

    prompt: str


TOKENS_EXAMPLE: dict[str, Any] = {
    "count": 3,
    "max_model_len": 1024,
    "tokens": [0, 2301, 17],
    "token_strs": ["<|begin_of_text|>", "Hello", ","],
}
TOKENIZE_EXAMPLES: dict[str, Any] = {
    "text": {
        "summary": "A text",
        "value": {"prompt": "Hello, world", "return_token_strs": True},
    },
    "chat": {
        "summary": "A conversation, as the model sees it",
        "value": {"messages": [{"role": "user", "content": "Hello"}]},
    },
}
DETOKENIZE_EXAMPLES: dict[str, Any] = {
    "tokens": {"summary": "Three tokens", "value": {"tokens": [1, 464, 2068]}}
}
