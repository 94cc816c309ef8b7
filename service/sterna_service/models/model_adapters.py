"""Which adapters the models of a server have, and which of them a request gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sterna_service.engine.adapter import AdapterSpec
from sterna_service.errors import Reason, ServiceError
from sterna_service.models.adapters import (
    NO_ADAPTER,
    AdapterRecord,
    with_adapter,
    without_adapter,
)
from sterna_service.models.catalogue import Catalogue
from sterna_service.models.refusals import list_ids
from sterna_service.models.residency import Residency
from sterna_service.models.resident import Lease, ModelSettings, ServedModel
from sterna_service.models.slots import ModelState


class ModelAdapters:
    """The adapters of the models, by the models' ids. Belongs to the event loop."""

    def __init__(
        self,
        residency: Residency,
        catalogue: Catalogue,
        settings_of: Callable[[str], ModelSettings],
        model_ids: Callable[[], set[str]],
    ) -> None:
        """`model_ids` tells the models that may have settings of their own."""
        self._residency = residency
        self._catalogue = catalogue
        self._settings_of = settings_of
        self._model_ids = model_ids

    def path(self, path: str) -> Path:
        """The directory of an adapter in the store.

        Raises:
            ServiceError: There is none, or the path leads out of the store.
        """
        found = self._catalogue.adapter_at(path) if path else None
        if found is None:
            there = list_ids([source.model_id for source in self._catalogue.stored_adapters()])
            raise ServiceError(
                Reason.ADAPTER_NOT_FOUND,
                f"there is no adapter {path[:200]!r}: give the id of an adapter in the store, or a "
                f"directory of the store with an adapter_config.json; there are: {there}",
                metadata={"adapter": path[:200]},
            )
        return found

    async def load(self, model_id: str, spec: AdapterSpec) -> AdapterRecord:
        """Loads an adapter beside its model, in place of one of the same name.

        Raises:
            ServiceError: The model is not loaded, or the adapter cannot be used; nothing has
                changed.
        """
        slot = self._residency.slot(model_id)
        resident = slot.resident
        if resident is None or slot.state is not ModelState.LOADED:
            raise ServiceError(
                Reason.MODEL_NOT_LOADED,
                f"the model {model_id} is not loaded: load it before its adapters",
                metadata={"model": model_id},
            )
        # Read again even if it is there: its files may have changed.
        await self._residency.adapt(
            model_id, resident, lambda now: with_adapter(now, spec), afresh=spec.adapter_id
        )
        return AdapterRecord(model_id, spec, resident.adapters[spec.adapter_id])

    async def unload(self, model_id: str, adapter_id: str) -> None:
        """Takes an adapter from its model; running requests finish with it.

        Raises:
            ServiceError: There is no such adapter, or a change of the model is running.
        """
        settings = self._settings_of(model_id)
        if all(spec.adapter_id != adapter_id for spec in settings.adapters):
            raise self._missing(model_id, adapter_id)
        resident = self._residency.slot(model_id).resident
        if resident is None:
            self._residency.remember(model_id, without_adapter(settings, adapter_id))
        else:
            await self._residency.adapt(
                model_id, resident, lambda now: without_adapter(now, adapter_id)
            )

    def records(self, model_id: str) -> list[AdapterRecord]:
        """The adapters of a model, by id."""
        resident = self._residency.slot(model_id).resident
        loaded = {} if resident is None else resident.adapters
        records = [
            AdapterRecord(model_id, spec, loaded.get(spec.adapter_id))
            for spec in self._settings_of(model_id).adapters
        ]
        return sorted(records, key=lambda record: record.spec.adapter_id)

    def users(self, directory: Path) -> list[str]:
        """The models that have an adapter from this directory, loaded or not, by id."""
        place = directory.resolve()
        return sorted(
            model_id
            for model_id in self._model_ids()
            if any(spec.path.resolve() == place for spec in self._settings_of(model_id).adapters)
        )

    def require(self, model_id: str, adapter_id: str) -> None:
        """Checks that a model has an adapter, if one is named.

        Raises:
            ServiceError: It has not.
        """
        known = [NO_ADAPTER, *(spec.adapter_id for spec in self._settings_of(model_id).adapters)]
        if adapter_id and adapter_id not in known:
            raise self._missing(model_id, adapter_id)

    def choose(self, lease: Lease[ServedModel], model_id: str, adapter_id: str) -> None:
        """Gives a request the adapter that it names, else that of its model.

        Raises:
            ServiceError: It left while the model was awaited; the lease is given back.
        """
        wanted = adapter_id or lease.resident.settings.default_adapter
        if wanted in ("", NO_ADAPTER):
            return
        lease.adapter = lease.resident.adapters.get(wanted)
        if lease.adapter is None:
            lease.__exit__(None, None, None)
            raise self._missing(model_id, wanted)

    def _missing(self, model_id: str, adapter_id: str) -> ServiceError:
        shown = adapter_id if len(adapter_id) <= 100 else f"{adapter_id[:100]}…"
        there = ", ".join(record.spec.adapter_id for record in self.records(model_id)[:10])
        return ServiceError(
            Reason.ADAPTER_NOT_FOUND,
            f"the model {model_id} has no adapter {shown!r}; it has: {there or 'none'}",
            metadata={"adapter": shown, "model": model_id},
        )
