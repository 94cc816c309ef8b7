"""Which models are served, and where they come from."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, ByteSize, Field, SecretStr, field_validator

from sterna_server.sections.kinds import DEFAULT_HOME, HomePath


class ModelSettings(BaseModel):
    """Models."""

    model: str = ""
    """A checkpoint directory, or an id in the store (`ORG/NAME`); empty: the embedded model."""
    home: HomePath = DEFAULT_HOME
    """Where models and packed bundles live."""
    preload: bool = True
    """Whether the model is loaded at the start; without it, the first request loads it."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """Further names for models, alias to id; an alias may be a glob (`gpt-*`, `*`)."""
    tokenizers: dict[str, HomePath] = Field(default_factory=dict)
    """Where a model's tokenizer is, model id to directory, for models that come without theirs."""

    adapter: list[str] = Field(default_factory=list)
    """LoRA adapters of the model, each `NAME=PATH` or `PATH`: a directory, or one of the store
    (`ORG/NAME`). The name is what requests choose (`model:NAME`); default: the directory's."""
    default_adapter: str = ""
    """Which of them requests get that name none; empty: they get the model alone."""
    adapter_precision: Literal["none", "bf16", "int8", "q8_0", "q4_0"] = "none"
    """How their weights are held; `none`: exactly as in the file."""

    harness: Literal["default", "search"] = "default"
    """What chats go through that name no harness."""
    search_provider: Literal["ddgs", "brave"] = "ddgs"
    """Where the search harness searches; `brave` needs the variable SEARCH_API_KEY."""
    search_endpoint: str = ""
    """Brave's address, where it is not the public one."""
    search_private_pages: bool = False
    """Whether pages of private networks are read, too."""
    hub_endpoint: str = ""
    """Where models are pulled from; empty: HF_ENDPOINT, or the public hub."""
    hub_token: SecretStr = SecretStr("")
    """Who pulls gated and private models; empty: the variable HF_TOKEN, or nobody."""
    autoload: bool = True
    """Whether a request for a model of the store loads it."""
    keep_alive: float = Field(default=-1.0, ge=-1, le=3650 * 86400)
    """How long a model stays loaded without a request; negative: for good."""
    model_memory: ByteSize = Field(default=ByteSize(0), ge=0)
    """What the loaded models may take together, for example `16GiB`; 0: four fifths of what there
    is."""

    @field_validator("adapter", mode="after")
    @classmethod
    def _check_adapter(cls, value: list[str]) -> list[str]:
        adapter_paths(value)
        return value


def adapter_paths(adapters: list[str]) -> dict[str, str]:
    """Names and directories of adapters that are written `NAME=PATH` or `PATH`.

    Raises:
        ValueError: One has no name or no path, or two have the same name.
    """
    found: dict[str, str] = {}
    for text in adapters:
        name, equals, path = text.partition("=")
        if not equals:
            name, path = PurePath(text).name, text
        if not name or not path:
            raise ValueError(f"{text!r} is no adapter; write NAME=PATH")
        if name in found:
            raise ValueError(f"two adapters are called {name!r}; write NAME=PATH")
        found[name] = path
    return found


def own_adapter(path: str) -> dict[str, Any]:
    """The settings of a server whose requests all get this one adapter."""
    # What cannot be a name of an adapter stands in many directories' names.
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", PurePath(path).name).strip(".-")[:64]
    # The name of no adapter at all.
    name = "adapter" if name in ("", "none") else name
    return {"adapter": [f"{name}={path}"], "default_adapter": name}
