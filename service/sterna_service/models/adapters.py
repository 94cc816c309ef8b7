"""The adapters of models: which there are, what they may be called, and how they come and go."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sterna_service.engine.adapter import (
    CONFIG_FILE,
    TENSOR_FILE,
    AdapterPrecision,
    AdapterSpec,
    EngineAdapter,
    is_adapter,
)
from sterna_service.errors import Reason, ServiceError, StartupError, invalid
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.models.catalogue import Catalogue
from sterna_service.models.resident import ModelSettings, ServedModel

_log = logging.getLogger(__name__)

NO_ADAPTER = "none"
"""Names the model alone, where it has an adapter of its own."""

_ADAPTER_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    """An adapter of a model as it is now; `loaded` is None while the model is not in memory."""

    model_id: str
    spec: AdapterSpec
    loaded: EngineAdapter | None


def check_adapter_id(adapter_id: str, field: str = "adapter_id") -> str:
    """The id, if it can be one.

    Raises:
        ServiceError: It cannot.
    """
    if not _ADAPTER_ID.fullmatch(adapter_id) or adapter_id == NO_ADAPTER:
        raise invalid(
            field,
            "must be 1 to 64 characters of a-z, A-Z, 0-9, _, - and ., not begin with a dot, and "
            f"not be {NO_ADAPTER!r}",
        )
    return adapter_id


def named_for(path: Path) -> str:
    """The id of an adapter that was given none: its directory's name.

    Raises:
        ServiceError: It cannot be one.
    """
    if not _ADAPTER_ID.fullmatch(path.name) or path.name == NO_ADAPTER:
        raise invalid("adapter_id", "is required: the directory's name cannot be an id")
    return path.name


def adapters_on_disk(specs: Iterable[AdapterSpec]) -> int:
    """About the memory that adapters will take, in bytes. Blocks."""
    total = 0
    for spec in specs:
        file = spec.path / TENSOR_FILE
        if file.is_file():
            # Files hold 16 bits a weight, mostly.
            total += file.stat().st_size * (2 if spec.precision == NO_ADAPTER else 1)
    return total


def given_at_start(
    home: Path, adapters: Mapping[str, str], default: str, precision: AdapterPrecision
) -> tuple[AdapterSpec, ...]:
    """The adapters that a server starts with: the operator's own directories, or adapters of the
    store by their ids, the ends of these, or their paths.

    Raises:
        StartupError: A name or a directory cannot be one.
    """
    specs = []
    for adapter_id, place in adapters.items():
        try:
            check_adapter_id(adapter_id)
        except ServiceError as error:
            raise StartupError(f"adapters: {adapter_id!r}: {error.message}") from None
        stored, own = home / "models" / place, Path(place).expanduser()
        found = next((path for path in (own, stored) if is_adapter(path)), None)
        if found is None:
            named = Catalogue(home).find_adapter(place)
            found = None if named is None else named.path
        if found is None:
            raise StartupError(
                f"adapters: {adapter_id}: {place}: no such directory with an {CONFIG_FILE}, and "
                f"none in {home / 'models'}; `sterna models` lists what there is"
            )
        specs.append(AdapterSpec(adapter_id, found.resolve(), precision))
    if default and default not in adapters:
        raise StartupError(f"default_adapter: {default!r} is none of the adapters")
    return tuple(specs)


async def open_adapter(model: ServedModel, spec: AdapterSpec) -> EngineAdapter:
    """Reads an adapter for a loaded model.

    Raises:
        ServiceError: It cannot be used with this model.
    """
    if not isinstance(model, LoadedModel):
        raise ServiceError(
            Reason.ADAPTER_UNSUPPORTED,
            f"{model.model_id} is a sentence encoder, and adapters are for language models",
            metadata={"adapter": spec.adapter_id, "model": model.model_id},
        )
    adapter = await model.port.open_adapter(spec, model.model_id)
    base = adapter.native.base_model
    if base and _last(base) != _last(model.model_id):
        _log.warning(
            "the adapter says that it was made for another model",
            extra={"adapter": spec.adapter_id, "model": model.model_id, "made_for": base[:200]},
        )
    return adapter


async def open_adapters(
    model: ServedModel, specs: Iterable[AdapterSpec], before: Mapping[str, EngineAdapter]
) -> dict[str, EngineAdapter]:
    """The adapters of a model, by id; those that were loaded in the same way are kept.

    Raises:
        ServiceError: As `open_adapter`; nothing has changed.
    """
    adapters = {}
    for spec in specs:
        known = before.get(spec.adapter_id)
        same = known is not None and known.spec == spec
        adapters[spec.adapter_id] = known if known and same else await open_adapter(model, spec)
        await asyncio.sleep(0)
    return adapters


def with_adapter(settings: ModelSettings, spec: AdapterSpec) -> ModelSettings:
    """Settings of a model that has this adapter, too, in place of one of its name."""
    others = [each for each in settings.adapters if each.adapter_id != spec.adapter_id]
    return replace(settings, adapters=(*others, spec))


def without_adapter(settings: ModelSettings, adapter_id: str) -> ModelSettings:
    """Settings of a model that has no adapter of this name."""
    others = tuple(each for each in settings.adapters if each.adapter_id != adapter_id)
    usual = "" if settings.default_adapter == adapter_id else settings.default_adapter
    return replace(settings, adapters=others, default_adapter=usual)


def _last(model_id: str) -> str:
    return model_id.rstrip("/").rpartition("/")[2].lower()
