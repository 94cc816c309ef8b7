"""A LoRA adapter in memory, as requests take it along."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from sterna_service.engine import _native
from sterna_service.errors import Reason, ServiceError

AdapterPrecision = Literal["none", "bf16", "int8", "q8_0", "q4_0"]
"""How the weights of an adapter are held; `none`: as floats of 32 bits."""

ADAPTER_PRECISIONS: tuple[AdapterPrecision, ...] = get_args(AdapterPrecision)

TENSOR_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"

_REASONS = {
    "unsupported_adapter": Reason.ADAPTER_UNSUPPORTED,
    "checkpoint_invalid": Reason.CHECKPOINT_INVALID,
    "io": Reason.ADAPTER_NOT_FOUND,
}


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """An adapter that belongs to a model, loaded or not."""

    adapter_id: str
    path: Path
    """A directory in the PEFT format."""
    precision: AdapterPrecision = "none"


@dataclass(frozen=True, slots=True, eq=False)
class EngineAdapter:
    """An adapter that requests can run with. It leaves memory with the last one that holds it."""

    spec: AdapterSpec
    native: _native.Adapter
    load_time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def adapter_id(self) -> str:
        return self.spec.adapter_id

    @property
    def rank(self) -> int:
        """The largest of its matrices."""
        return self.native.rank

    @property
    def memory_bytes(self) -> int:
        return self.native.memory_bytes


def is_adapter(directory: Path) -> bool:
    """Whether a directory holds an adapter in the PEFT format. Blocks."""
    try:
        return (directory / CONFIG_FILE).is_file()
    except OSError:
        # A name that is too long.
        return False


def read_adapter(spec: AdapterSpec, model: _native.Model, model_id: str) -> EngineAdapter:
    """Reads an adapter for a model. Blocks.

    Raises:
        ServiceError: Its files are missing or damaged, or it does not fit the model.
    """
    metadata = {"adapter": spec.adapter_id, "model": model_id}
    try:
        return EngineAdapter(spec, _native.Adapter.open(str(spec.path), model, spec.precision))
    except _native.NativeError as error:
        reason = _REASONS.get(error.code, Reason.INTERNAL)
        if error.field and len(error.field) <= 200:
            key = "tensor" if error.field.endswith(".weight") else "field"
            metadata[key] = error.field
        raise ServiceError(
            reason, f"the adapter {spec.adapter_id} cannot be loaded: {error}", metadata=metadata
        ) from None
    except MemoryError:
        raise ServiceError(
            Reason.OUT_OF_MEMORY,
            f"the adapter {spec.adapter_id} does not fit into memory; choose another precision",
            metadata=metadata,
        ) from None
