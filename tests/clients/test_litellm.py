"""The `litellm` package, which speaks all three APIs."""

from __future__ import annotations

import os
from typing import Any

import pytest

# Its list of prices comes from the internet otherwise.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from tests.clients.conftest import Running
from tests.clients.job import FRANCE_MESSAGES, MODEL, PARIS, TOOL, WEATHER_MESSAGES, Weather


def place(server: Running, api: str) -> dict[str, Any]:
    """The arguments that lead a call there."""
    bases = {"openai": server.openai, "anthropic": server.url, "ollama_chat": server.ollama}
    return {"model": f"{api}/{MODEL}", "api_base": bases[api], "api_key": "unused"}


APIS = ["openai", "anthropic", "ollama_chat"]


@pytest.mark.parametrize("api", APIS)
def test_completion(server: Running, api: str) -> None:
    answer = litellm.completion(
        messages=FRANCE_MESSAGES, temperature=0, max_tokens=64, **place(server, api)
    )
    assert answer.choices[0].message.content == PARIS
    assert answer.usage.completion_tokens > 0


@pytest.mark.parametrize("api", APIS)
def test_stream(server: Running, api: str) -> None:
    stream = litellm.completion(
        messages=FRANCE_MESSAGES, temperature=0, max_tokens=64, stream=True, **place(server, api)
    )
    assert "".join(part.choices[0].delta.content or "" for part in stream) == PARIS


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_tools(server: Running, api: str) -> None:
    answer = litellm.completion(
        messages=WEATHER_MESSAGES,
        tools=[TOOL],
        tool_choice="required",
        max_tokens=256,
        **place(server, api),
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    for call in calls:
        Weather.model_validate_json(call.function.arguments)


@pytest.mark.parametrize("api", APIS)
def test_structured_output(server: Running, api: str) -> None:
    answer = litellm.completion(
        messages=WEATHER_MESSAGES, response_format=Weather, max_tokens=256, **place(server, api)
    )
    Weather.model_validate_json(answer.choices[0].message.content)


def test_text_completion(server: Running) -> None:
    answer = litellm.text_completion(
        prompt="Once upon a time",
        max_tokens=8,
        **place(server, "openai") | {"model": f"text-completion-openai/{MODEL}"},
    )
    assert answer.choices[0].text


def test_responses(server: Running) -> None:
    answer = litellm.responses(input=FRANCE_MESSAGES, temperature=0, **place(server, "openai"))
    assert answer.output[0].content[0].text == PARIS


async def test_embedding(server: Running) -> None:
    answer = await litellm.aembedding(
        input=["One", "Two"], encoding_format="float", **place(server, "openai")
    )
    assert len(answer.data) == 2
