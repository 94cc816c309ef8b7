"""The `anthropic` package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.clients.conftest import Running
from tests.clients.job import FRANCE_MESSAGES, MODEL, PARIS, SCHEMA, WEATHER_MESSAGES, Weather

TOOL: Any = {"name": "weather", "description": "Tell the weather.", "input_schema": SCHEMA}


@pytest.fixture
def client(server: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="unused") as client:
        yield client


def test_message(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(
        model=MODEL, max_tokens=64, messages=FRANCE_MESSAGES, extra_body={"temperature": 0}
    )
    (block,) = answer.content
    assert block.type == "text"
    assert block.text == PARIS
    assert answer.stop_reason == "end_turn"


def test_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model=MODEL, max_tokens=64, messages=FRANCE_MESSAGES, extra_body={"temperature": 0}
    ) as stream:
        assert "".join(stream.text_stream) == PARIS
        assert stream.get_final_message().usage.output_tokens > 0


def test_tools(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(
        model=MODEL,
        max_tokens=256,
        messages=WEATHER_MESSAGES,
        tools=[TOOL],
        tool_choice={"type": "any"},
    )
    assert answer.stop_reason == "tool_use"
    used = [block for block in answer.content if block.type == "tool_use"]
    assert used
    for block in used:
        Weather.model_validate(block.input)
    results: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "Sunny."} for block in used
    ]
    followed = client.messages.create(
        model=MODEL,
        max_tokens=20,
        messages=[
            *WEATHER_MESSAGES,
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": results},
        ],
        tools=[TOOL],
        tool_choice={"type": "none"},
    )
    assert followed.content


def test_count_tokens(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model=MODEL, messages=FRANCE_MESSAGES)
    assert counted.input_tokens > 5


def test_an_error(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nothing", max_tokens=4, messages=FRANCE_MESSAGES)
