"""Models ↔ protocol. Pure functions."""

from __future__ import annotations

from sterna.v1.model_pb2 import Model, ModelCapability, ModelState, StoredAdapter
from sterna_rest.models.schemas import AdapterBody, ModelBody


def model_body(model: Model) -> ModelBody:
    """As OpenAI describes a model, and what it can do."""
    defaults = (("completion", model.default_model), ("embedding", model.default_embedding_model))
    return ModelBody(
        id=model.model_id,
        created=model.create_time.seconds,
        owned_by=model.owner or "local",
        parent=None,
        capabilities=[_name(capability) for capability in model.capabilities],
        default_for=[what for what, is_default in defaults if is_default],
    )


def model_bodies(model: Model) -> list[ModelBody]:
    """A model, and under `base:adapter` what each of its adapters that is loaded makes of it."""
    base = model_body(model)
    return [base] + [
        base.model_copy(
            update={
                "id": f"{model.model_id}:{adapter.adapter_id}",
                "created": adapter.load_time.seconds,
                "parent": model.model_id,
                "default_for": [],
            }
        )
        for adapter in model.adapters
        if adapter.state == ModelState.MODEL_STATE_LOADED
    ]


def adapter_body(adapter: StoredAdapter) -> AdapterBody:
    """An adapter of the store, without its place there."""
    return AdapterBody(
        id=adapter.adapter_id,
        created=adapter.create_time.seconds,
        base_model=adapter.base_model,
        rank=adapter.rank,
        target_modules=list(adapter.target_modules),
        size_bytes=adapter.size_bytes,
        revision=adapter.revision,
        problem=adapter.problem,
    )


def _name(capability: ModelCapability) -> str:
    return ModelCapability.Name(capability).removeprefix("MODEL_CAPABILITY_").lower()
