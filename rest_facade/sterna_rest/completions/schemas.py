"""What `/v1/completions` takes and returns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, Tag

from sterna_rest.generation.fields import MAX_TOP_LOGPROBS, GenerationFields, Items
from sterna_rest.generation.grammar import Grammar
from sterna_rest.generation.schemas import UsageBody
from sterna_rest.generation.text_input import TEXTS_OR_TOKENS, TokenList

MAX_PROMPTS = 256

Prompt = Annotated[
    Annotated[str, Tag("(string)")]
    | Annotated[Items[str], Field(min_length=1, max_length=MAX_PROMPTS), Tag("(strings)")]
    | Annotated[TokenList, Tag("(tokens)")]
    | Annotated[
        Items[TokenList], Field(min_length=1, max_length=MAX_PROMPTS), Tag("(token lists)")
    ],
    TEXTS_OR_TOKENS,
]


class CompletionRequest(GenerationFields):
    """Text or tokens to continue, without a template."""

    prompt: Prompt = Field(
        description="A string, a list of strings, a list of token ids, or a list of such lists. "
        "Several prompts give their choices one after the other, `n` for each."
    )
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_TOP_LOGPROBS,
        description="Report each token's log-probability, and those of this many likeliest ones.",
    )
    suffix: str | None = Field(
        None,
        description="Text that follows the gap to be filled, for models that were trained to fill "
        "gaps; the others refuse it. Needs a prompt of text.",
    )
    echo: bool | None = Field(None, description="Put the prompt before the completion.")
    grammar: Grammar | None = Field(None, description="Hold the completion to a form.")

    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts as a list."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return self.prompt


class CompletionLogprobs(BaseModel):
    """Parallel lists, one entry per token. `text_offset` counts characters of this `text`."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One completion. In a stream `finish_reason` is null until the choice's last chunk."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None


class Completion(BaseModel):
    """The whole answer, or one event of a stream."""

    id: str
    object: Literal["text_completion"]
    created: int = Field(description="Seconds since 1970.")
    model: str = Field(description="The id of the model that answered.")
    choices: list[CompletionChoice]
    usage: UsageBody | None = None


REQUEST_EXAMPLES: dict[str, Any] = {
    "text": {
        "summary": "Continue a text",
        "value": {"prompt": "The quick brown fox", "max_tokens": 32},
    },
    "several": {
        "summary": "Continue two texts, greedily",
        "value": {"prompt": ["One, two,", "Red, green,"], "max_tokens": 8, "temperature": 0},
    },
    "regex": {
        "summary": "A completion that matches a regular expression",
        "value": {"prompt": "Born in the year ", "grammar": {"regex": "[12][0-9]{3}"}},
    },
    "tokens": {
        "summary": "Score a prompt of tokens",
        "value": {"prompt": [464, 2068], "max_tokens": 1, "echo": True, "logprobs": 1},
    },
}

RESPONSE_EXAMPLE: dict[str, Any] = {
    "id": "cmpl-8b1c0f6d1f2a4f0c9a44c3b7d2e91f50",
    "object": "text_completion",
    "created": 1700000000,
    "model": "sterna/tern-nano",
    "choices": [
        {
            "index": 0,
            "text": " jumps over the lazy dog.",
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "cached_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 0},
    },
}

_HEAD = (
    '{"id":"cmpl-8b1c0f6d1f2a4f0c9a44c3b7d2e91f50","object":"text_completion",'
    '"created":1700000000,"model":"sterna/tern-nano","choices":[{"index":0,'
)
STREAM_EXAMPLE = (
    f'data: {_HEAD}"text":" jumps","logprobs":null,"finish_reason":null}}]}}\n\n'
    f'data: {_HEAD}"text":"","logprobs":null,"finish_reason":"length"}}]}}\n\n'
    "data: [DONE]\n\n"
)
