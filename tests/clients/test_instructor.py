"""The `instructor` package."""

from __future__ import annotations

from typing import Any

import anthropic
import instructor
import openai
import pytest

from tests.clients.conftest import Running
from tests.clients.job import MODEL, WEATHER_MESSAGES, Weather

MODES = [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA]


def client_of(server: Running, mode: instructor.Mode) -> Any:
    return instructor.from_openai(
        openai.OpenAI(base_url=server.openai, api_key="unused"), mode=mode
    )


@pytest.mark.parametrize("mode", MODES)
def test_create(server: Running, mode: instructor.Mode) -> None:
    answer = client_of(server, mode).chat.completions.create(
        model=MODEL, response_model=Weather, messages=WEATHER_MESSAGES, max_retries=0
    )
    assert isinstance(answer, Weather)


@pytest.mark.parametrize("mode", MODES)
def test_partial(server: Running, mode: instructor.Mode) -> None:
    parts = list(
        client_of(server, mode).chat.completions.create_partial(
            model=MODEL, response_model=Weather, messages=WEATHER_MESSAGES, max_retries=0
        )
    )
    Weather.model_validate(parts[-1].model_dump())


def test_anthropic(server: Running) -> None:
    client: Any = instructor.from_anthropic(
        anthropic.Anthropic(base_url=server.url, api_key="unused"),
        mode=instructor.Mode.TOOLS,
    )
    answer = client.messages.create(
        model=MODEL,
        max_tokens=256,
        response_model=Weather,
        messages=WEATHER_MESSAGES,
        max_retries=0,
    )
    assert isinstance(answer, Weather)
