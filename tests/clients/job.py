"""What every client is asked to do. The embedded model knows these answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

MODEL = "sterna/tern-nano"
FRANCE = "What is the capital of France?"
PARIS = "The capital of France is Paris."
FRANCE_MESSAGES: Any = [{"role": "user", "content": FRANCE}]
WEATHER_MESSAGES: Any = [{"role": "user", "content": "What is the weather in Rome?"}]


City = Literal["Paris", "Rome"]


class Weather(BaseModel):
    """Tell the weather of a city."""

    city: City
    day: Annotated[int, Field(ge=1, le=7)]


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Paris", "Rome"]},
        "day": {"type": "integer", "minimum": 1, "maximum": 7},
    },
    "required": ["city", "day"],
    "additionalProperties": False,
}

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "parameters": SCHEMA,
    },
}
