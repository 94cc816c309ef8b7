"""The `langchain-openai` package."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.clients.conftest import Running
from tests.clients.job import FRANCE, MODEL, PARIS, City, Weather


@tool
def weather(city: City, day: int) -> str:
    """Tell the weather of a city on a day of the week, 1 to 7."""
    return f"Sunny in {city} on day {day}."


def chat(server: Running, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=server.openai, api_key="unused", model=MODEL, **options)


def test_invoke(server: Running) -> None:
    answer = chat(server, temperature=0).invoke(FRANCE)
    assert answer.content == PARIS
    assert answer.usage_metadata["output_tokens"] > 0


def test_stream(server: Running) -> None:
    parts = list(chat(server, temperature=0, stream_usage=True).stream(FRANCE))
    assert "".join(part.content for part in parts) == PARIS
    assert any(part.usage_metadata for part in parts)


async def test_many_at_once(server: Running) -> None:
    answers = await chat(server, temperature=0).abatch([FRANCE] * 4)
    assert [answer.content for answer in answers] == [PARIS] * 4


@pytest.mark.parametrize("streamed", [False, True])
def test_tools(server: Running, streamed: bool) -> None:
    model = chat(server)
    bound = model.bind_tools([weather], tool_choice="required")
    question = HumanMessage("What is the weather in Rome?")
    answer: Any = None
    if streamed:
        for part in bound.stream([question]):
            answer = part if answer is None else answer + part
    else:
        answer = bound.invoke([question])
    assert isinstance(answer, AIMessage)
    assert answer.tool_calls
    assert not answer.invalid_tool_calls
    results = [weather.invoke(call) for call in answer.tool_calls]
    assert all(isinstance(result, ToolMessage) for result in results)
    followed = chat(server, max_tokens=20).invoke([question, answer, *results])
    assert followed.content


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(server: Running, method: Any) -> None:
    model = chat(server).with_structured_output(Weather, method=method)
    assert isinstance(model.invoke("What is the weather in Rome?"), Weather)


def test_responses_api(server: Running) -> None:
    model = chat(server, temperature=0, use_responses_api=True, output_version="responses/v1")
    first = model.invoke(FRANCE)
    assert first.text == PARIS
    second = model.invoke("Thanks.", previous_response_id=first.response_metadata["id"])
    assert second.usage_metadata["input_tokens"] > first.usage_metadata["input_tokens"]


def test_embeddings(server: Running) -> None:
    # Otherwise it counts tokens with a vocabulary that it downloads.
    embeddings = OpenAIEmbeddings(
        base_url=server.openai, api_key="unused", model=MODEL, check_embedding_ctx_length=False
    )
    one, two = embeddings.embed_documents(["One", "Two"])
    assert len(one) == len(two) == len(embeddings.embed_query("Three"))
