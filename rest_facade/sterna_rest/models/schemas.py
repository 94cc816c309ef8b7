"""What `/v1/models` returns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ModelBody(BaseModel):
    """A model that the server has."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When its files were stored, in seconds since 1970.")
    owned_by: str
    parent: str | None = Field(
        None, description="Of an adapter, `base:adapter`, the model that it adapts."
    )
    capabilities: list[str] = Field(
        default_factory=list,
        description="What it can do: `completion`, `chat`, `embedding`, and more.",
    )
    default_for: list[str] = Field(
        default_factory=list,
        description="Of `completion` and `embedding`, those whose requests get it that name no "
        "model.",
    )


class ModelList(BaseModel):
    """All of them, the default one first."""

    object: Literal["list"] = "list"
    data: list[ModelBody]


MODEL_EXAMPLE: dict[str, Any] = {
    "id": "sterna/tern-nano",
    "object": "model",
    "created": 1700000000,
    "owned_by": "sterna",
    "capabilities": ["completion", "chat", "embedding"],
    "default_for": ["completion", "embedding"],
}
LIST_EXAMPLE: dict[str, Any] = {"object": "list", "data": [MODEL_EXAMPLE]}
