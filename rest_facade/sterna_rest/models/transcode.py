"""Models ↔ protocol. Pure functions."""

from __future__ import annotations

from sterna.v1.model_pb2 import Model, ModelCapability
from sterna_rest.models.schemas import ModelBody


def model_body(model: Model) -> ModelBody:
    """As OpenAI describes a model, and what it can do."""
    defaults = (("completion", model.default_model), ("embedding", model.default_embedding_model))
    return ModelBody(
        id=model.model_id,
        created=model.create_time.seconds,
        owned_by=model.owner or "local",
        capabilities=[_name(capability) for capability in model.capabilities],
        default_for=[what for what, is_default in defaults if is_default],
    )


def _name(capability: ModelCapability) -> str:
    return ModelCapability.Name(capability).removeprefix("MODEL_CAPABILITY_").lower()
