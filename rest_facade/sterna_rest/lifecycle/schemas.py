"""What the calls that load and unload take and return."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from sterna_rest.generation.fields import RequestModel

_WEIGHTS = Literal["none", "bf16", "int8", "q8_0", "q6_k", "q5_0", "q4_0"]
_ADAPTER_WEIGHTS = Literal["none", "bf16", "int8", "q8_0", "q4_0"]


class LoadRequest(RequestModel):
    """Which model becomes the default one, and how it is loaded."""

    model_dir: str = Field(
        min_length=1, max_length=512, description="A model's id, or its path in the model store."
    )
    adapter_dir: str | None = Field(
        None,
        max_length=512,
        description="A LoRA adapter of the model store, by its id or path, for requests that name "
        "no adapter. Null: they get the model alone.",
    )
    harness: Literal["default", "search"] | None = Field(
        None, description="What chat requests go through. Null: as before."
    )
    search_provider: Literal["ddgs", "brave"] | None = Field(
        None, description="Where the search harness searches. Null: as before."
    )
    threads: int | None = Field(
        None, ge=0, le=1024, description="Null: as before. 0: what the machine allows."
    )
    lora_quant: _ADAPTER_WEIGHTS | None = Field(
        None, description="How the adapter is held. Null: as before, at first `none`."
    )
    unembed_quant: _WEIGHTS | None = Field(None, description="How the output head is held.")


class LoadBody(BaseModel):
    """The model answers."""

    status: Literal["success"] = "success"
    model: str
    recompiled: bool = Field(description="Its bundle was built anew.")
    message: str = ""


class ChangeBody(BaseModel):
    """What was done."""

    status: Literal["success"] = "success"
    message: str


LOAD_EXAMPLES: dict[str, Any] = {
    "model": {"summary": "Another model", "value": {"model_dir": "microsoft/bitnet-b1.58-2B-4T"}},
    "adapter": {
        "summary": "The same model with a LoRA adapter",
        "value": {
            "model_dir": "sterna/tern-nano",
            "adapter_dir": "someone/pirate",
            "lora_quant": "int8",
        },
    },
    "threads": {
        "summary": "The same model with four threads",
        "value": {"model_dir": "sterna/tern-nano", "threads": 4},
    },
}
LOAD_EXAMPLE: dict[str, Any] = {
    "status": "success",
    "model": "microsoft/bitnet-b1.58-2B-4T",
    "recompiled": False,
    "message": "",
}
CHANGE_EXAMPLE: dict[str, Any] = {
    "status": "success",
    "message": "Model 'sterna/tern-nano' loaded",
}
