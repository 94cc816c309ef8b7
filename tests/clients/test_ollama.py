"""The `ollama` package, on a listener that speaks Ollama's API."""

from __future__ import annotations

import ollama
import pytest

from tests.clients.conftest import Running
from tests.clients.job import (
    FRANCE_MESSAGES,
    MODEL,
    PARIS,
    SCHEMA,
    TOOL,
    WEATHER_MESSAGES,
    Weather,
)

GREEDY = {"temperature": 0}


@pytest.fixture
def client(server: Running) -> ollama.Client:
    return ollama.Client(host=server.ollama)


def test_chat(client: ollama.Client) -> None:
    answer = client.chat(model=MODEL, messages=FRANCE_MESSAGES, options=GREEDY)
    assert answer.message.content == PARIS


def test_stream(client: ollama.Client) -> None:
    parts = list(client.chat(model=MODEL, messages=FRANCE_MESSAGES, options=GREEDY, stream=True))
    assert "".join(part.message.content or "" for part in parts) == PARIS
    assert parts[-1].done


def test_generate(client: ollama.Client) -> None:
    options = {"num_predict": 8}
    assert client.generate(model=MODEL, prompt="Once", raw=True, options=options).response


def test_tools(client: ollama.Client) -> None:
    # This API cannot force a call; whatever comes is a valid one.
    answer = client.chat(model=MODEL, messages=WEATHER_MESSAGES, tools=[TOOL])
    for call in answer.message.tool_calls or ():
        assert call.function.name == "weather"
        Weather.model_validate(call.function.arguments)
    assert answer.message.content or answer.message.tool_calls


def test_structured_output(client: ollama.Client) -> None:
    answer = client.chat(model=MODEL, messages=WEATHER_MESSAGES, format=SCHEMA)
    Weather.model_validate_json(answer.message.content or "")


def test_embeddings(client: ollama.Client) -> None:
    answer = client.embed(model=MODEL, input=["One", "Two"])
    assert len(answer.embeddings) == 2


def test_models(client: ollama.Client) -> None:
    assert MODEL in [model.model for model in client.list().models]
    assert client.show(MODEL).modelinfo
    assert [model.model for model in client.ps().models] == [MODEL]
