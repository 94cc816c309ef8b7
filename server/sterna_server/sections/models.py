"""Which models are served, and where they come from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ByteSize, Field, SecretStr

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
