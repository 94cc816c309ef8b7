"""Completions and models through the official `openai` package, against the real core."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

from tests.facade.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "sterna/tern-nano"


async def complete(api: openai.AsyncOpenAI, prompt: Any, **settings: Any) -> list[str]:
    """The texts of all choices, which a stream must give alike."""
    base: dict[str, Any] = {"model": MODEL, "prompt": prompt, "temperature": 0, "max_tokens": 8}
    answer = await api.completions.create(**base | settings)
    assert answer.id.startswith("cmpl-")
    assert answer.object == "text_completion"
    texts = [""] * len(answer.choices)
    for choice in answer.choices:
        texts[choice.index] = choice.text
    streamed = [""] * len(texts)
    ends = 0
    async for chunk in await api.completions.create(**base | settings, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.text
            ends += choice.finish_reason is not None
    assert streamed == texts
    assert ends == len(texts)
    return texts


async def test_a_text(api: openai.AsyncOpenAI) -> None:
    [text] = await complete(api, "The capital of France")
    assert text


async def test_a_list_of_texts_is_answered_one_by_one(api: openai.AsyncOpenAI) -> None:
    prompts = ["The capital of France", "Once upon a time", "One, two"]
    alone = [(await complete(api, prompt))[0] for prompt in prompts]
    assert await complete(api, prompts) == alone


async def test_tokens(api: openai.AsyncOpenAI) -> None:
    one = await complete(api, [300, 301, 302])
    other = await complete(api, [400])
    assert await complete(api, [[300, 301, 302], [400]]) == one + other


async def test_several_choices_for_several_prompts(api: openai.AsyncOpenAI) -> None:
    settings = {"n": 2, "seed": 3, "temperature": 1.2}
    both = await complete(api, ["Once upon a time", "One, two"], **settings)
    assert len(both) == 4
    assert both[:2] == await complete(api, "Once upon a time", **settings)
    assert both[2:] == await complete(api, "One, two", **settings)


async def test_echo(api: openai.AsyncOpenAI) -> None:
    [plain] = await complete(api, "Once upon")
    assert await complete(api, "Once upon", echo=True) == ["Once upon" + plain]


async def test_echo_with_log_probabilities_scores_the_prompt(api: openai.AsyncOpenAI) -> None:
    text = "The capital of France is"
    answer = await api.completions.create(
        model=MODEL, prompt=text, echo=True, logprobs=2, max_tokens=1, temperature=0
    )
    choice = answer.choices[0]
    logprobs = choice.logprobs
    assert logprobs is not None
    tokens = logprobs.tokens or []
    values: list[Any] = list(logprobs.token_logprobs or ())
    assert "".join(tokens).startswith(text)
    assert values[0] is None
    assert all(value <= 0 for value in values[1:])
    assert logprobs.text_offset is not None
    for offset, token in zip(logprobs.text_offset, tokens, strict=True):
        assert choice.text[offset : offset + len(token)] == token
    tops = logprobs.top_logprobs or []
    assert len(tops) == len(tokens)
    assert len(tops[-1]) == 2
    given = "The capital of"
    after = await api.completions.create(
        model=MODEL, prompt=given, logprobs=1, max_tokens=1, temperature=0
    )
    assert after.choices[0].logprobs is not None
    likeliest = max((after.choices[0].logprobs.top_logprobs or [{}])[0].values())
    scored = values[logprobs.text_offset.index(len(given))]
    assert scored <= likeliest + 1e-6, "no token is likelier than the likeliest"


async def test_stop_and_usage(api: openai.AsyncOpenAI) -> None:
    answer = await api.completions.create(
        model=MODEL, prompt=["Once upon a time", "Once upon a time"], stop=[" "], max_tokens=20
    )
    assert all(" " not in choice.text for choice in answer.choices)
    assert answer.usage is not None
    one = await api.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=1)
    assert one.usage is not None
    assert answer.usage.prompt_tokens == 2 * one.usage.prompt_tokens


async def test_models(api: openai.AsyncOpenAI) -> None:
    models = await api.models.list()
    assert [m.id for m in models.data] == [MODEL]
    assert models.data[0].owned_by == "sterna"
    # The client percent-encodes the slash.
    assert (await api.models.retrieve(MODEL)).id == MODEL
    assert (await api.models.retrieve("tern-nano")).id == MODEL
    with pytest.raises(openai.NotFoundError) as caught:
        await api.models.retrieve("no/such/model")
    assert caught.value.code == "model_not_found"
    assert MODEL in str(caught.value), "the message lists what is there"


async def test_paths_with_slashes(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url) as client:
        for path in ("sterna/tern-nano", "sterna%2Ftern-nano", "sterna%2ftern-nano"):
            response = await client.get(f"/v1/models/{path}")
            assert response.json()["id"] == MODEL
        nothing = await client.get("/v1/models/")
        assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "not_found")


async def test_the_server_about_itself(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url) as client:
        info = (await client.get("/")).json()
        assert set(info) == {"name", "version", "status", "models_available"}
        assert (info["name"], info["status"], info["models_available"]) == ("Sterna", "running", 1)
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"prompt": [99999999]}, "prompt[0]"),
        ({"prompt": [[1], [1, 99999999]]}, "prompt[1][1]"),
        ({"logit_bias": {"99999999": 1}}, "logit_bias"),
        ({"logprobs": 99}, "logprobs"),
    ],
)
async def test_values_that_only_the_model_can_judge(
    api: openai.AsyncOpenAI, settings: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await api.completions.create(**{"model": MODEL, "prompt": "x"} | settings)
    assert caught.value.param == param


async def test_a_suffix_needs_a_model_that_fills_gaps(api: openai.AsyncOpenAI) -> None:
    for prompt, code in (("One", "unsupported_parameter"), ([5, 6], "invalid_value")):
        with pytest.raises(openai.BadRequestError) as caught:
            await api.completions.create(model=MODEL, prompt=prompt, suffix=" three")
        assert (caught.value.param, caught.value.code) == ("suffix", code)
    answer = await api.completions.create(model=MODEL, prompt="One", suffix="", max_tokens=2)
    assert answer.choices[0].text
