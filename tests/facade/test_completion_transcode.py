"""Text completions against the protocol, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sterna.v1.generation_event_pb2 import Choice, FinishReason, TokenAlternative, TokenLogprob
from sterna.v1.generation_pb2 import GenerationSpec
from sterna_rest.completions.schemas import MAX_PROMPTS, Completion, CompletionRequest
from sterna_rest.completions.transcode import (
    TextOffsets,
    completion,
    completion_parameter,
    completion_specs,
)
from tests.support.scripted_core import whole_answer


def specs_of(prompt: Any, **body: Any) -> list[GenerationSpec]:
    return completion_specs(CompletionRequest.model_validate({"prompt": prompt} | body))


@pytest.mark.parametrize(
    ("prompt", "texts", "tokens"),
    [
        ("a", ["a"], []),
        ("", [""], []),
        (["a", "b"], ["a", "b"], []),
        ([1, 2], [], [[1, 2]]),
        ([[1], [2, 3]], [], [[1], [2, 3]]),
    ],
)
def test_every_form_of_prompt(prompt: Any, texts: list[str], tokens: list[list[int]]) -> None:
    specs = specs_of(prompt)
    assert [s.text.text for s in specs if s.WhichOneof("prompt") == "text"] == texts
    assert [list(s.tokens.token_ids) for s in specs if s.WhichOneof("prompt") == "tokens"] == tokens


@pytest.mark.parametrize(
    "prompt", [None, 1, True, [True], [], [[]], [1, "a"], ["a", 1], [-1], ["a"] * (MAX_PROMPTS + 1)]
)
def test_what_is_no_prompt(prompt: Any) -> None:
    with pytest.raises(ValidationError):
        CompletionRequest.model_validate({"prompt": prompt})


def test_all_prompts_share_the_other_fields() -> None:
    for spec in specs_of(["a", "b"], temperature=0.5, n=2, max_tokens=3, echo=True, logprobs=0):
        assert spec.sampling.temperature == 0.5
        assert (spec.choice_count, spec.stop.max_tokens, spec.echo) == (2, 3, True)
        assert spec.HasField("logprobs")
        assert (spec.logprobs.top_count, spec.logprobs.prompt) == (0, True)


def test_prompt_logprobs_only_with_echo() -> None:
    assert not specs_of("a", logprobs=2)[0].logprobs.prompt
    assert not specs_of("a")[0].HasField("logprobs")


@pytest.mark.parametrize(
    ("prompt", "field", "name"),
    [
        ("x", "spec.logprobs.top_count", "logprobs"),
        ("x", "spec.text.text", "prompt"),
        (["x"], "spec.text.text", "prompt[1]"),
        ([1, 2], "spec.tokens.token_ids[3]", "prompt[3]"),
        ([[1, 2]], "spec.tokens.token_ids[3]", "prompt[1][3]"),
        ("x", "spec.prompt", "prompt"),
    ],
)
def test_fields_of_the_protocol_in_the_words_of_the_caller(
    prompt: Any, field: str, name: str
) -> None:
    body = CompletionRequest.model_validate({"prompt": prompt})
    assert completion_parameter(body, field, 1) == name


def test_choices_of_several_prompts_are_numbered_through() -> None:
    body = completion([whole_answer("a", "b"), whole_answer("c", "d")], choice_count=2)
    assert [(c["index"], c["text"]) for c in body["choices"]] == [
        (0, "a"),
        (1, "b"),
        (2, "c"),
        (3, "d"),
    ]
    assert body["usage"]["prompt_tokens"] == 6
    assert body["usage"]["total_tokens"] == 10
    assert body["usage"]["cached_tokens"] == 2
    assert body["id"] == "cmpl-" + "0" * 32
    Completion.model_validate(body)


def token(text: str, logprob: float | None = None, *tops: tuple[str, float]) -> TokenLogprob:
    entry = TokenLogprob(text=text, raw_bytes=text.encode())
    if logprob is not None:
        entry.logprob = logprob
    entry.top_logprobs.extend(
        TokenAlternative(text=t, raw_bytes=t.encode(), logprob=lp) for t, lp in tops
    )
    return entry


def test_echo_with_log_probabilities() -> None:
    response = whole_answer()
    response.prompt_text = "éac"
    response.prompt_logprobs.extend([token("é"), token("a", -1.0, ("b", -0.5)), token("c", -0.125)])
    response.choices.append(
        Choice(
            text="!",
            finish_reason=FinishReason.FINISH_REASON_STOP,
            logprobs=[token("!", -0.25, ("!", -0.25), ("?", -2.0))],
        )
    )
    body = completion([response], 1)
    assert body["choices"][0]["text"] == "éac!"
    assert body["choices"][0]["logprobs"] == {
        "tokens": ["é", "a", "c", "!"],
        "token_logprobs": [None, -1.0, -0.125, -0.25],
        "top_logprobs": [None, {"b": -0.5, "a": -1.0}, None, {"!": -0.25, "?": -2.0}],
        "text_offset": [0, 1, 2, 3],
    }
    Completion.model_validate(body)


def test_tokens_that_are_no_whole_character_keep_distinct_names() -> None:
    response = whole_answer()
    halves = [
        TokenLogprob(text="\ufffd", raw_bytes=b"\xc3", logprob=-1),
        TokenLogprob(text="\ufffd", raw_bytes=b"\xa9", logprob=-1),
    ]
    response.choices.append(
        Choice(text="é", finish_reason=FinishReason.FINISH_REASON_STOP, logprobs=halves)
    )
    logprobs = completion([response], 1)["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["bytes:\\xc3", "bytes:\\xa9"]
    assert logprobs["text_offset"] == [0, 1]


def test_offsets_count_characters_across_tokens() -> None:
    offsets = TextOffsets()
    text = "aé€😀b"
    assert [offsets.next(bytes([byte])) for byte in text.encode()][-1] == len(text) - 1
