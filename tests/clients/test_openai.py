"""The `openai` package, in the version that the other packages here ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.clients.conftest import Running
from tests.clients.job import (
    FRANCE,
    FRANCE_MESSAGES,
    MODEL,
    PARIS,
    TOOL,
    WEATHER_MESSAGES,
    Weather,
)


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.openai, api_key="unused") as client:
        yield client


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=FRANCE_MESSAGES, temperature=0)
    assert answer.choices[0].message.content == PARIS


def test_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=FRANCE_MESSAGES,
        temperature=0,
        stream_options={"include_usage": True},
    ) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    assert text == final.choices[0].message.content == PARIS
    assert final.usage is not None
    assert final.usage.completion_tokens > 0


def test_tools(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=WEATHER_MESSAGES, tools=[TOOL], tool_choice="required"
    )
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    for call in message.tool_calls:
        assert call.type == "function"
        Weather.model_validate_json(call.function.arguments)
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}
        for call in message.tool_calls
    ]
    messages: Any = [*WEATHER_MESSAGES, message, *results]
    followed = client.chat.completions.create(
        model=MODEL,
        messages=messages,
        tools=[TOOL],
        tool_choice="none",
        max_tokens=20,
    )
    assert followed.choices[0].message.content


def test_structured_output(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=WEATHER_MESSAGES, response_format=Weather
    )
    assert isinstance(answer.choices[0].message.parsed, Weather)


def test_responses(client: openai.OpenAI) -> None:
    first = client.responses.create(model=MODEL, input=FRANCE, temperature=0)
    assert first.output_text == PARIS
    second = client.responses.create(
        model=MODEL, input="Thanks.", previous_response_id=first.id, max_output_tokens=20
    )
    assert second.output_text
    assert client.responses.retrieve(second.id).output_text == second.output_text
    with client.responses.stream(model=MODEL, input=FRANCE, temperature=0) as stream:
        assert stream.get_final_response().output_text == PARIS
    parsed = client.responses.parse(model=MODEL, input=FRANCE, text_format=Weather)
    assert isinstance(parsed.output_parsed, Weather)


def test_embeddings(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input=["One", "Two"], dimensions=16)
    assert [len(each.embedding) for each in answer.data] == [16, 16]


def test_models(client: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")
