"""The embedded model's text side, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

import sterna_service.models
from sterna_service.inference.chat_template import ChatTemplate, load_chat_template
from sterna_service.inference.prompt import PromptEncoder
from sterna_service.inference.tokenizer import Tokenizer, load_tokenizer

EMBEDDED = Path(sterna_service.models.__file__).parent / "embedded"
VOCABULARY_SIZE = 4096


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    """The embedded model's directory."""
    return EMBEDDED


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return load_tokenizer(EMBEDDED, VOCABULARY_SIZE)


@pytest.fixture(scope="session")
def template() -> ChatTemplate:
    loaded = load_chat_template(EMBEDDED)
    assert loaded is not None
    return loaded


@pytest.fixture(scope="session")
def encoder(tokenizer: Tokenizer, template: ChatTemplate) -> PromptEncoder:
    return PromptEncoder("sterna/tern-nano", tokenizer, template, VOCABULARY_SIZE)
