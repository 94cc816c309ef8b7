"""The request fields that `/v1/chat/completions` and `/v1/completions` have in common."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
MAX_STOPS = 16
MAX_CHOICES = 128
MAX_BIAS = 100.0
MAX_BIASES = 1024
MAX_STOP_LENGTH = 256
MAX_TOP_LOGPROBS = 20
MAX_LABELS = 1024

T = TypeVar("T")

Items = Annotated[list[T], Field(fail_fast=True)]
"""A list in a request. The first item that is wrong ends the check: a problem of each of a million
items would take far more time and memory to tell than the items took to send."""


def at_most(limit: int) -> BeforeValidator:
    """Counts the entries of an object before it looks at them, for the same reason."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > limit:
            told = {"field_type": "Dictionary", "max_length": limit, "actual_length": len(value)}
            raise PydanticKnownError("too_long", told)
        return value

    return BeforeValidator(check)


class RequestModel(BaseModel):
    """Base of request bodies: types are never converted, unknown fields are kept aside."""

    model_config = ConfigDict(extra="allow", strict=True)

    def unknown_fields(self) -> list[str]:
        """Names in the body that no field of this model has."""
        return sorted(self.model_extra or ())


def _string_or_list(value: Any) -> str | None:
    """Chooses the member of a `str | list[...]` union, so that errors speak of one only.

    The tags are written in parentheses; `errors.validation` leaves them out of parameter names.
    """
    if isinstance(value, str):
        return "(string)"
    if isinstance(value, list):
        return "(list)"
    return None


STRING_OR_LIST = Discriminator(
    _string_or_list,
    custom_error_type="string_or_list",
    custom_error_message="Input should be a string or a list",
)


def discriminator_of_type(*types: str) -> Discriminator:
    """Chooses the member of a union by its field `type`; members are tagged `(type)`."""

    def tag(value: Any) -> str | None:
        kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        return f"({kind})" if kind in types else None

    return Discriminator(
        tag,
        custom_error_type="unknown_type",
        custom_error_message=f"Input should be an object whose type is one of: {', '.join(types)}",
    )


StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]
StopList = Annotated[Items[StopString], Field(max_length=MAX_STOPS)]
Stop = Annotated[
    Annotated[StopString, Tag("(string)")] | Annotated[StopList, Tag("(list)")],
    STRING_OR_LIST,
]


def _check_token_key(value: str) -> str:
    if int(value) > INT32_MAX:
        raise PydanticCustomError("value_out_of_range", f"Token ids are 0 to {INT32_MAX}")
    return value


TokenKey = Annotated[str, Field(pattern=r"^[0-9]{1,10}$"), AfterValidator(_check_token_key)]


Labels = Annotated[dict[str, str], at_most(MAX_LABELS), Field(max_length=MAX_LABELS)]


class StreamOptions(RequestModel):
    """How a stream ends."""

    include_usage: bool | None = Field(
        None, description="Send one more chunk with `usage` and no choices before `[DONE]`."
    )


class GenerationFields(RequestModel):
    """Sampling, stopping and streaming. A field left out means the model's own default."""

    model: str | None = Field(
        None,
        description="Model id, its last path component, or an alias. Empty: the default model.",
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="0 is greedy: always the likeliest token."
    )
    top_k: int | None = Field(
        None, ge=0, le=INT32_MAX, description="Sample among this many tokens; 0 is all of them."
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="Sample among the likeliest tokens of this total mass."
    )
    min_p: float | None = Field(
        None, ge=0, le=1, description="Drop tokens below this share of the likeliest one."
    )
    repetition_penalty: float | None = Field(
        None,
        ge=0,
        le=10,
        description="Above 1 discourages tokens of prompt and answer; 0 and 1 are off.",
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="Per occurrence in the answer so far."
    )
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="Once for any occurrence in the answer so far."
    )
    logit_bias: (
        Annotated[
            dict[TokenKey, Annotated[float, Field(ge=-MAX_BIAS, le=MAX_BIAS)]], at_most(MAX_BIASES)
        ]
        | None
    ) = Field(
        None,
        max_length=MAX_BIASES,
        description="Token id (as a string) to what is added to its logit.",
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        le=INT32_MAX,
        description="Most tokens per choice; left out: as many as fit the context.",
    )
    n: int | None = Field(None, ge=1, le=MAX_CHOICES, description="How many choices to make.")
    seed: int | None = Field(
        None,
        ge=-INT64_MAX - 1,
        le=INT64_MAX,
        description="The same seed and request give the same answer.",
    )
    stop: Stop | None = Field(
        None,
        description=f"A string, or up to {MAX_STOPS} of them, that end the answer and are not "
        "part of it.",
    )
    min_tokens: int | None = Field(
        None, ge=0, le=INT32_MAX, description="The answer does not end before this many tokens."
    )
    stop_token_ids: Items[Annotated[int, Field(ge=0, le=INT32_MAX)]] | None = Field(
        None, max_length=64, description="Further tokens that end the answer."
    )
    ignore_eos: bool | None = Field(
        None, description="Go on past the model's own end, for measurements."
    )
    stream: bool | None = Field(None, description="Answer with server-sent events.")
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="The end user, for the caller's own records.")
    metadata: Labels | None = Field(None, description="The caller's own labels.")

    def stops(self) -> list[str]:
        """The stop strings as a list."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop

    def wants_usage_chunk(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)
