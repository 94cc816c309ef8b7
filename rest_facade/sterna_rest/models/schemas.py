"""What `/v1/models` and `/v1/adapters` return."""

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


class AdapterBody(BaseModel):
    """A LoRA adapter in the store, for models to be loaded with."""

    id: str = Field(description="What `adapter_dir` of `POST /v1/models/load` takes.")
    object: Literal["adapter"] = "adapter"
    created: int = Field(description="When it was stored, in seconds since 1970.")
    base_model: str = Field(description="What it says it was made for; empty: it does not say.")
    rank: int = Field(description="Of its matrices; 0: it does not say.")
    target_modules: list[str] = Field(
        description="What it changes: names, or one regular expression."
    )
    size_bytes: int
    revision: str = Field(description="The commit that was pulled; empty: it was not pulled.")
    problem: str = Field(description="Why it cannot be loaded; empty: nothing is known.")


class AdapterList(BaseModel):
    """All of them, by id."""

    object: Literal["list"] = "list"
    data: list[AdapterBody]


ADAPTERS_EXAMPLE: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "id": "someone/pirate",
            "object": "adapter",
            "created": 1700000000,
            "base_model": "sterna/tern-nano",
            "rank": 16,
            "target_modules": ["q_proj", "v_proj"],
            "size_bytes": 441376,
            "revision": "",
            "problem": "",
        }
    ],
}
