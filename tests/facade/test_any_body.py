"""Whatever a body holds, it becomes a request to the core or a clear refusal, never a bug."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sterna_rest.chat.schemas import ChatRequest
from sterna_rest.chat.transcode import chat_spec
from sterna_rest.completions.schemas import CompletionRequest
from sterna_rest.completions.transcode import completion_specs
from sterna_rest.errors import ApiError
from sterna_rest.errors.validation import validation_error
from sterna_rest.generation.unsupported import (
    CHAT_FIELDS,
    COMPLETION_FIELDS,
    ignored_headers,
    refuse_unsupported,
)
from sterna_rest.http.strict_json import parse_json

# Small numbers and the edges of every integer type meet the limits of fields more often than
# numbers drawn anywhere.
NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.sampled_from([s * 2**b + d for b in (31, 32, 63, 64) for s in (1, -1) for d in (-1, 0, 1)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-3, 3),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8))
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "x"]),
            "content": st.one_of(
                st.text(max_size=5),
                st.none(),
                st.lists(
                    st.fixed_dictionaries(
                        {"type": st.sampled_from(["text", "refusal", "image_url"])},
                        optional={"text": SCALARS, "refusal": SCALARS},
                    ),
                    max_size=2,
                ),
            ),
        },
        optional={"name": SCALARS, "tool_calls": VALUES, "tool_call_id": SCALARS},
    ),
    max_size=3,
)
FUNCTIONS = st.fixed_dictionaries(
    {"name": st.text(max_size=3)},
    optional={"description": SCALARS, "parameters": VALUES, "strict": SCALARS},
)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["function", "custom"])},
        optional={"function": FUNCTIONS | VALUES},
    ),
    max_size=3,
)
TOOL_CHOICES = st.one_of(
    st.sampled_from(["none", "auto", "required"]),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["function", "custom"])},
        optional={"function": FUNCTIONS | VALUES},
    ),
    VALUES,
)
BIASES = st.dictionaries(
    st.one_of(st.integers(-1, 2**34).map(str), st.text(max_size=3)), NUMBERS, max_size=3
)


def bodies(model: type[ChatRequest | CompletionRequest]) -> st.SearchStrategy[dict[str, Any]]:
    known = (CHAT_FIELDS if model is ChatRequest else COMPLETION_FIELDS).keys()
    optional = dict.fromkeys([*model.model_fields, *known], VALUES)
    optional |= {"logit_bias": BIASES, "unknown": VALUES}
    if model is ChatRequest:
        optional |= {"tools": TOOLS, "tool_choice": TOOL_CHOICES}
    prompts: st.SearchStrategy[Any] = st.one_of(
        st.text(max_size=5), st.lists(NUMBERS, max_size=3), st.lists(st.lists(NUMBERS), max_size=2)
    )
    required = {"messages": MESSAGES} if model is ChatRequest else {"prompt": prompts}
    return st.fixed_dictionaries({}, optional=optional | required)


def check_refusal(error: ApiError) -> None:
    assert 400 <= error.status_code < 500
    assert error.message
    response = error.response("/v1/x")
    json.loads(bytes(response.body))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(bodies(ChatRequest), VALUES))
def test_any_chat_body(body: Any) -> None:
    body = parse_json(json.dumps(body).encode())
    try:
        request = ChatRequest.model_validate(body)
        refuse_unsupported(request.model_extra or {}, CHAT_FIELDS)
        assert chat_spec(request).SerializeToString()
        ignored_headers(request.unknown_fields())
    except ValidationError as error:
        check_refusal(validation_error(as_fastapi(error)))
    except ApiError as error:
        check_refusal(error)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(bodies(CompletionRequest), VALUES))
def test_any_completion_body(body: Any) -> None:
    body = parse_json(json.dumps(body).encode())
    try:
        request = CompletionRequest.model_validate(body)
        refuse_unsupported(request.model_extra or {}, COMPLETION_FIELDS)
        assert all(spec.SerializeToString() for spec in completion_specs(request))
        ignored_headers(request.unknown_fields())
    except ValidationError as error:
        check_refusal(validation_error(as_fastapi(error)))
    except ApiError as error:
        check_refusal(error)


def as_fastapi(error: ValidationError) -> Any:
    """What FastAPI makes of a validation error: it puts where the value came from in front."""
    return RequestValidationError(
        [{**e, "loc": ("body", *e["loc"])} for e in error.errors(include_url=False)]
    ).errors()


@settings(max_examples=300)
@given(st.binary(max_size=40))
def test_any_bytes(raw: bytes) -> None:
    try:
        parse_json(raw)
    except ApiError as error:
        check_refusal(error)


@settings(max_examples=200)
@given(VALUES)
def test_json_is_read_as_python_reads_it(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("raw", [b"NaN", b"[Infinity]", b'"\\udc00"', b"\xc3", b"[1,]", b"01", b""])
def test_what_is_no_json(raw: bytes) -> None:
    with pytest.raises(ApiError):
        parse_json(raw)
