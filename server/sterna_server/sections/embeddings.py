"""Vectors of texts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class EmbeddingSettings(BaseModel):
    """Embeddings."""

    embedding_model: str = ""
    """The model of requests for vectors that name none: an id in the store, or a directory; empty:
    the default model."""
    embedding_pooling: Literal["mean", "last"] = "mean"
    """How language models make a vector of a text's tokens, where their files do not say it."""
    embedding_threads: int = Field(default=0, ge=0, le=1024)
    """Threads of a sentence encoder; 0: half of what the process may use."""
