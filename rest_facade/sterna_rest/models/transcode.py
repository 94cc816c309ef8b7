"""Models ↔ protocol. Pure functions."""

from __future__ import annotations

from sterna.v1.model_pb2 import Model
from sterna_rest.models.schemas import ModelBody


def model_body(model: Model) -> ModelBody:
    """As OpenAI describes a model."""
    return ModelBody(
        id=model.model_id, created=model.create_time.seconds, owned_by=model.owner or "local"
    )
