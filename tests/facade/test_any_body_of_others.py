"""As `test_any_body`, for the endpoints beside chat and completions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from sterna_rest.api.schemas import ApiChatRequest, ApiGenerateRequest
from sterna_rest.api.transcode import chat_spec, generate_spec
from sterna_rest.embeddings.schemas import (
    ApiEmbeddingRequest,
    EmbeddingRequest,
    SimilarityRequest,
)
from sterna_rest.embeddings.transcode import embed_requests, similarity_request
from sterna_rest.errors import ApiError
from sterna_rest.errors.validation import validation_error
from sterna_rest.generation.unsupported import (
    MESSAGE_FIELDS,
    RESPONSE_FIELDS,
    refuse_unsupported,
)
from sterna_rest.http.strict_json import parse_json
from sterna_rest.messages.schemas import MessageRequest
from sterna_rest.messages.transcode import message_spec
from sterna_rest.responses.schemas import ResponseRequest
from sterna_rest.responses.transcode import response_spec
from sterna_rest.socket.schemas import INCOMING
from sterna_rest.tokens.schemas import TokenizeRequest
from sterna_rest.tokens.transcode import tokenize_request
from tests.facade.test_any_body import MESSAGES, NUMBERS, VALUES, as_fastapi, check_refusal

FORMATS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "json_object", "json_schema", "x"])},
        optional={"name": VALUES, "schema": VALUES, "strict": VALUES},
    ),
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "messages": MESSAGES,
    "input": st.one_of(
        st.text(max_size=5),
        MESSAGES,
        st.lists(st.one_of(st.text(max_size=3), st.lists(st.integers(-1, 2**31)))),
    ),
    "sentences": st.lists(st.text(max_size=3)),
    "dimensions": NUMBERS,
    "system": st.one_of(st.text(max_size=5), VALUES),
    "max_tokens": NUMBERS,
    "text": st.fixed_dictionaries({}, optional={"format": FORMATS, "verbosity": VALUES}),
    "output_config": st.fixed_dictionaries({}, optional={"format": FORMATS}),
    "options": st.dictionaries(
        st.sampled_from(["temperature", "top_p", "top_k", "max_tokens", "stop"]), VALUES
    ),
    "include": st.lists(st.sampled_from(["message.output_text.logprobs", "x"]), max_size=2),
    "unknown": VALUES,
}

CASES: list[tuple[type[BaseModel], Callable[[Any], Message], dict[str, Any]]] = [
    (ResponseRequest, response_spec, dict(RESPONSE_FIELDS)),
    (MessageRequest, message_spec, dict(MESSAGE_FIELDS)),
    (ApiChatRequest, chat_spec, {}),
    (ApiGenerateRequest, generate_spec, {}),
    (TokenizeRequest, tokenize_request, {}),
    (EmbeddingRequest, lambda body: embed_requests(body, 4096)[-1], {}),
    (ApiEmbeddingRequest, lambda body: embed_requests(body, 4096)[-1], {}),
    (SimilarityRequest, lambda body: similarity_request(body, 4096), {}),
]


@pytest.mark.parametrize(
    ("model", "transcode", "known"), CASES, ids=[case[0].__name__ for case in CASES]
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_body(
    model: type[BaseModel],
    transcode: Callable[[Any], Message],
    known: dict[str, Any],
    data: st.DataObject,
) -> None:
    names = [*model.model_fields, *known, "unknown"]
    shaped = {name: FIELDS.get(name, VALUES) for name in names}
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    body = data.draw(
        st.fixed_dictionaries(
            {name: shaped[name] for name in required},
            optional={name: shaped[name] for name in names if name not in required},
        )
        | VALUES
    )
    body = parse_json(json.dumps(body).encode())
    try:
        request = model.model_validate(body)
        refuse_unsupported(request.model_extra or {}, known)
        transcode(request).SerializeToString()
    except ValidationError as error:
        check_refusal(validation_error(as_fastapi(error)))
    except ApiError as error:
        check_refusal(error)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        VALUES,
        st.fixed_dictionaries(
            {"type": st.sampled_from(["chat_message", "cancel", "x"])},
            optional={"message": VALUES, "model": VALUES, "options": FIELDS["options"]},
        ),
    )
)
def test_any_message_on_the_socket(body: Any) -> None:
    adapter: TypeAdapter[Any] = INCOMING
    try:
        adapter.validate_python(parse_json(json.dumps(body).encode()))
    except ValidationError as error:
        check_refusal(validation_error(as_fastapi(error)))
