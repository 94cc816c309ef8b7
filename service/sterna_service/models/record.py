"""What is told of one model: its files, its state, its settings."""

from __future__ import annotations

from dataclasses import dataclass

from sterna_service.encoders.traits import Pooling
from sterna_service.models.adapters import AdapterRecord
from sterna_service.models.description import ModelDescription
from sterna_service.models.resident import ModelSettings, ServedModel
from sterna_service.models.slots import ModelState


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model as it is now. `message` says why it failed; `model` is set while it is loaded."""

    description: ModelDescription
    state: ModelState
    message: str
    aliases: list[str]
    default: bool
    default_embedding: bool
    """Requests for vectors that name no model get this one."""
    model: ServedModel | None
    settings: ModelSettings
    pooling: Pooling
    """How it makes vectors where its files do not say it."""
    adapters: list[AdapterRecord]
    """By id."""
    memory_bytes: int
    """Of weights, cache and adapters; 0 while it is not loaded."""

    @property
    def model_id(self) -> str:
        return self.description.source.model_id
