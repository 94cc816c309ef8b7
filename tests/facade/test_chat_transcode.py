"""Chat requests and answers against the protocol, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sterna.v1.chat_pb2 import Role
from sterna.v1.generation_event_pb2 import Choice, FinishReason, TokenAlternative, TokenLogprob
from sterna.v1.generation_pb2 import GenerationSpec
from sterna_rest.chat.schemas import ChatCompletion, ChatRequest
from sterna_rest.chat.transcode import chat_completion, chat_parameter, chat_spec
from sterna_rest.errors import ApiError
from tests.support.scripted_core import whole_answer

QUESTION = [{"role": "user", "content": "Hi"}]


def spec_of(**body: Any) -> GenerationSpec:
    return chat_spec(ChatRequest.model_validate({"messages": QUESTION} | body))


def test_what_is_left_out_stays_absent() -> None:
    spec = spec_of()
    assert spec.model_id == ""
    assert spec.choice_count == 0
    assert not spec.HasField("logprobs")
    assert [f.name for f, _ in spec.sampling.ListFields()] == []
    assert [f.name for f, _ in spec.stop.ListFields()] == []
    assert spec.WhichOneof("prompt") == "chat"


def test_null_is_as_good_as_absent() -> None:
    names = [n for n in ChatRequest.model_fields if n != "messages"]
    assert spec_of(**dict.fromkeys(names)) == spec_of()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", 0.5),
        ("top_k", 0),
        ("top_k", 40),
        ("top_p", 0.25),
        ("min_p", 0),
        ("frequency_penalty", -2),
        ("presence_penalty", 0),
        ("repetition_penalty", 1.5),
        ("seed", -(2**63)),
        ("seed", 0),
    ],
)
def test_sampling_fields_arrive_even_when_zero(name: str, value: float) -> None:
    sampling = spec_of(**{name: value}).sampling
    assert sampling.HasField(name)
    assert getattr(sampling, name) == value


def test_a_repetition_penalty_of_zero_is_off() -> None:
    assert spec_of(repetition_penalty=0).sampling.repetition_penalty == 1.0


def test_biases_and_stopping() -> None:
    spec = spec_of(
        logit_bias={"5": -100, "7": 1.5},
        stop=["a", "b"],
        max_tokens=9,
        min_tokens=2,
        stop_token_ids=[3],
        ignore_eos=True,
        n=3,
        model="m",
    )
    assert dict(spec.sampling.logit_bias) == {5: -100.0, 7: 1.5}
    assert list(spec.stop.stop_strings) == ["a", "b"]
    assert (spec.stop.max_tokens, spec.stop.min_tokens) == (9, 2)
    assert (list(spec.stop.stop_token_ids), spec.stop.ignore_eos) == ([3], True)
    assert (spec.choice_count, spec.model_id) == (3, "m")


def test_one_stop_string() -> None:
    assert list(spec_of(stop="end").stop.stop_strings) == ["end"]


def test_max_completion_tokens_wins() -> None:
    assert spec_of(max_tokens=5, max_completion_tokens=7).stop.max_tokens == 7


def test_logprobs() -> None:
    assert spec_of(logprobs=True).HasField("logprobs")
    assert spec_of(logprobs=True, top_logprobs=4).logprobs.top_count == 4
    assert not spec_of(logprobs=False).HasField("logprobs")


def test_top_logprobs_need_logprobs() -> None:
    with pytest.raises(ApiError) as caught:
        spec_of(top_logprobs=4)
    assert (caught.value.status_code, caught.value.param) == (400, "top_logprobs")


def test_roles_and_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    spec = spec_of(
        messages=[
            {"role": "system", "content": "s"},
            {"role": "developer", "content": "d"},
            {"role": "user", "name": "ann", "content": parts},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ]
    )
    messages = spec.chat.messages
    assert [m.role for m in messages] == [
        Role.ROLE_SYSTEM,
        Role.ROLE_DEVELOPER,
        Role.ROLE_USER,
        Role.ROLE_ASSISTANT,
    ]
    assert [p.text for p in messages[2].content] == ["a", "b"]
    assert messages[2].name == "ann"
    assert messages[3].content[0].text == "no"


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ({"role": "user"}, "messages[0].content", "missing_required_parameter"),
        (
            {"role": "assistant", "content": None},
            "messages[0].content",
            "missing_required_parameter",
        ),
        (
            {"role": "tool", "content": "x"},
            "messages[0].tool_call_id",
            "missing_required_parameter",
        ),
        (
            {"role": "tool", "tool_call_id": "c", "content": None},
            "messages[0].content",
            "missing_required_parameter",
        ),
        (
            {"role": "user", "content": [{"type": "text"}]},
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}],
            },
            "messages[0].content[1].type",
            "unsupported_parameter",
        ),
    ],
)
def test_messages_that_do_not_add_up(message: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        spec_of(messages=[message])
    assert (caught.value.status_code, caught.value.param, caught.value.code) == (400, param, code)
    assert param in caught.value.message


@pytest.mark.parametrize("value", ["0.5", True, [1]])
def test_types_are_never_converted(value: object) -> None:
    with pytest.raises(ValidationError):
        ChatRequest.model_validate({"messages": QUESTION, "temperature": value})


def test_unknown_fields_are_kept_aside() -> None:
    body = ChatRequest.model_validate({"messages": QUESTION, "zebra": 1, "apple": None})
    assert body.unknown_fields() == ["apple", "zebra"]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("spec.sampling.top_p", "top_p"),
        ("spec.sampling.logit_bias[7]", "logit_bias[7]"),
        ("spec.stop.stop_strings[1]", "stop[1]"),
        ("spec.choice_count", "n"),
        ("spec.model_id", "model"),
        ("spec.logprobs.top_count", "top_logprobs"),
        ("spec.chat.messages[2].role", "messages[2].role"),
        ("spec.stop.max_tokens", "max_tokens"),
        ("spec.prompt", "messages"),
        ("something.else", "something.else"),
    ],
)
def test_fields_of_the_protocol_in_the_words_of_the_caller(field: str, name: str) -> None:
    assert chat_parameter(ChatRequest.model_validate({"messages": QUESTION}), field) == name


def test_the_spelling_that_was_used_is_named() -> None:
    body = ChatRequest.model_validate({"messages": QUESTION, "max_completion_tokens": 4})
    assert chat_parameter(body, "spec.stop.max_tokens") == "max_completion_tokens"


def test_a_whole_answer() -> None:
    body = chat_completion(whole_answer("Paris.", "Rome."))
    assert body == {
        "id": "chatcmpl-" + "0" * 32,
        "object": "chat.completion",
        "created": 1700000000,
        "model": "org/model",
        "choices": [
            {
                "index": i,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
            for i, text in enumerate(("Paris.", "Rome."))
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "cached_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 1},
        },
    }
    ChatCompletion.model_validate(body)


def test_log_probabilities_of_a_choice() -> None:
    response = whole_answer()
    response.choices.append(
        Choice(
            finish_reason=FinishReason.FINISH_REASON_LENGTH,
            text="é",
            logprobs=[
                TokenLogprob(
                    text="\ufffd",
                    raw_bytes=b"\xc3",
                    logprob=-0.5,
                    top_logprobs=[
                        TokenAlternative(text="a", raw_bytes=b"a", logprob=float("-inf"))
                    ],
                )
            ],
        )
    )
    body = chat_completion(response)
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "\ufffd",
                "logprob": -0.5,
                "bytes": [0xC3],
                "top_logprobs": [{"token": "a", "logprob": -9999.0, "bytes": [97]}],
            }
        ],
        "refusal": None,
    }
    ChatCompletion.model_validate(body)
