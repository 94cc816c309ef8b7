"""What models there are, and what a request gets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sterna_service.encoders.files import is_encoder
from sterna_service.engine.adapter import AdapterSpec
from sterna_service.errors import ModelLoadError, Reason, ServiceError, invalid, unsupported
from sterna_service.inference.loaded_model import LoadedModel
from sterna_service.inference.spec import HarnessChoice
from sterna_service.models.adapters import AdapterRecord
from sterna_service.models.catalogue import Catalogue, ModelSource
from sterna_service.models.description import ModelDescription, describe
from sterna_service.models.events import EventKind, EventLog
from sterna_service.models.journal import LoadObserver
from sterna_service.models.loading import LoadingOptions, ModelLoader
from sterna_service.models.model_adapters import ModelAdapters
from sterna_service.models.model_names import ModelNames
from sterna_service.models.record import ModelRecord
from sterna_service.models.refusals import list_ids, not_found, not_generative
from sterna_service.models.residency import Residency
from sterna_service.models.resident import FOR_GOOD, Lease, ModelSettings, ServedModel
from sterna_service.models.slots import LoadOutcome, ModelState
from sterna_service.models.stored_adapters import AdapterDescription, describe_adapter


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How models are found and kept."""

    aliases: Mapping[str, str]
    autoload: bool = True
    """Whether a request for a model in the store loads it."""
    preload: bool = True
    """Whether the default model is loaded before anybody asks it."""
    keep_alive: float = FOR_GOOD
    """Seconds that a model stays loaded without a request, unless its loader says otherwise."""
    harness: HarnessChoice = field(default_factory=HarnessChoice)
    """What chats go through that name no harness, unless the model's loader says otherwise."""
    memory_bytes: int = 0
    """What the loaded models may take together; 0: no limit."""
    adapters: tuple[AdapterSpec, ...] = ()
    """The adapters of the default model at the start."""
    default_adapter: str = ""
    """Which of them its requests get that name none."""


class ModelRegistry:
    """The models of one server. Belongs to the event loop."""

    def __init__(
        self,
        home: Path,
        options: RegistryOptions,
        loading: LoadingOptions,
        on_load: LoadObserver = lambda model_id, succeeded, seconds: None,
    ) -> None:
        self._options = options
        self._catalogue = Catalogue(home)
        self.events = EventLog()
        """What happens to the models."""
        self._loading = loading
        self._residency = Residency(
            ModelLoader(home, loading), options.memory_bytes, self.events, on_load
        )
        self._adapters = ModelAdapters(
            self._residency, self._catalogue, self._settings_now, self._ids_with_settings
        )
        self.names = ModelNames(
            home,
            self._catalogue,
            options.aliases,
            lambda name: self._residency.slot(name).resident is not None,
        )
        """What the models are called, and which are the defaults."""

    async def load_at_start(self, source: ModelSource) -> None:
        """Loads the model that the server starts with; it stays until somebody unloads it.

        Raises:
            ModelLoadError, ServiceError: It cannot be used; its record says why from then on.
        """
        settings = self._first_settings(source.model_id)
        await self._residency.load(source, replace(settings, keep_alive=FOR_GOOD))

    def settings_of(self, source: ModelSource) -> ModelSettings:
        """How a model was loaded last, or how it would be."""
        return self._settings_now(source.model_id)

    def _settings_now(self, model_id: str) -> ModelSettings:
        slot = self._residency.slot(model_id)
        if slot.resident is not None:
            return slot.resident.settings
        return self._first_settings(model_id) if slot.settings is None else slot.settings

    def _ids_with_settings(self) -> set[str]:
        first = self.names.first_model_id
        return {*self._residency.states(), *([] if first is None else [first])}

    def _first_settings(self, model_id: str) -> ModelSettings:
        options = self._options
        settings = ModelSettings(keep_alive=options.keep_alive, harness=options.harness)
        if model_id != self.names.first_model_id:
            return settings
        return replace(settings, adapters=options.adapters, default_adapter=options.default_adapter)

    async def load(
        self,
        source: ModelSource,
        settings: ModelSettings,
        drain_seconds: float,
        *,
        make_default: bool = False,
    ) -> LoadOutcome:
        """Loads a model or swaps it, and returns when it answers.

        Raises:
            ServiceError: It cannot be loaded; what was loaded before stays as it is.
        """
        if await asyncio.to_thread(is_encoder, source.path):
            if make_default:
                raise not_generative(source.model_id, "it cannot be the default model")
            if settings.head_precision:
                raise unsupported("head_precision", "is of language models only", source.model_id)
        try:
            outcome = await self._residency.load(source, settings, drain_seconds)
        except ModelLoadError as error:
            raise ServiceError(
                error.reason,
                f"the model {source.model_id} cannot be loaded: {error}",
                metadata={"model": source.model_id},
            ) from None
        if make_default:
            self.names.default_model_id = source.model_id
        return outcome

    def adapter_path(self, path: str) -> Path:
        """The directory of an adapter in the store.

        Raises:
            ServiceError: There is none, or the path leads out of the store.
        """
        return self._adapters.path(path)

    async def load_adapter(self, name: str, spec: AdapterSpec) -> AdapterRecord:
        """Loads an adapter beside its model, in place of one of the same name.

        Raises:
            ServiceError: The model is not loaded, or the adapter cannot be used; nothing has
                changed.
        """
        return await self._adapters.load(self.names.base_of(name), spec)

    async def unload_adapter(self, name: str, adapter_id: str) -> None:
        """Takes an adapter from its model; running requests finish with it.

        Raises:
            ServiceError: There is no such model or adapter.
        """
        await self._adapters.unload(self.names.base_of(name), adapter_id)

    def adapters(self, name: str) -> list[AdapterRecord]:
        """The adapters of a model, by id.

        Raises:
            ServiceError: There is no such model.
        """
        return self._adapters.records(self.names.base_of(name))

    async def unload(self, name: str, drain_seconds: float) -> ModelRecord:
        """Takes a model out of memory, if it is there.

        Raises:
            ServiceError: There is no such model, or a change of it is running.
        """
        model_id = self.names.base_of(name)
        await self._residency.unload(model_id, drain_seconds)
        return await self.record(model_id)

    async def stored_adapters(self) -> list[AdapterDescription]:
        """The adapters that lie in the store as models do, by id."""
        return await asyncio.to_thread(
            lambda: [describe_adapter(source) for source in self._catalogue.stored_adapters()]
        )

    async def stored_adapter(self, adapter_id: str) -> AdapterDescription | None:
        """The adapter in the store with this id, if there is one."""
        found = await asyncio.to_thread(self._stored_adapter, adapter_id)
        return None if found is None else await asyncio.to_thread(describe_adapter, found)

    def _stored_adapter(self, adapter_id: str) -> ModelSource | None:
        stored = self._catalogue.stored_adapters()
        return next((source for source in stored if source.model_id == adapter_id), None)

    async def delete(self, model_id: str) -> None:
        """Removes a model or an adapter from the store, by its full id.

        Raises:
            ServiceError: There is no such model, or it is loaded, or is not the store's to remove.
        """
        source = self.names.sources().get(model_id)
        if source is None:
            adapter = await asyncio.to_thread(self._stored_adapter, model_id)
            if adapter is None:
                raise not_found(model_id, list(self.names.sources()))
            await self._delete_adapter(adapter)
            return
        slot = self._residency.slot(model_id)
        why = ""
        if source.built_in:
            why = "comes with the server"
        elif not self._catalogue.stores(source):
            why = "lies outside of the model store"
        elif slot.resident is not None or slot.change is not None:
            why = "is loaded: unload it first"
        if why:
            raise ServiceError(
                Reason.MODEL_IN_USE,
                f"the model {model_id} cannot be deleted: it {why}",
                metadata={"model": model_id},
            )
        await asyncio.to_thread(self._catalogue.remove, source)
        self.events.add(EventKind.MODEL_DELETED, model_id=model_id)

    async def _delete_adapter(self, adapter: ModelSource) -> None:
        users = self._adapters.users(adapter.path)
        if users:
            raise ServiceError(
                Reason.MODEL_IN_USE,
                f"the adapter {adapter.model_id} cannot be deleted: {list_ids(users)} has it; "
                "unload it there first",
                metadata={"adapter": adapter.model_id, "model": users[0]},
            )
        await asyncio.to_thread(self._catalogue.remove, adapter)
        self.events.add(EventKind.ADAPTER_DELETED, adapter_id=adapter.model_id)

    async def acquire(self, name: str, adapter_id: str = "") -> Lease[LoadedModel]:
        """The right to generate with the model that a request means by a name and an adapter.

        Raises:
            ServiceError: There is no such model or adapter, or it cannot answer now, or not at all.
        """
        lease = await self._acquire(name, adapter_id, generates=True)
        found = lease.of(LoadedModel)
        if found is None:
            raise not_generative(self.names.identify(name), "it only makes embeddings")
        return found

    async def acquire_for_embedding(self, name: str) -> Lease[ServedModel]:
        """The right to make vectors with the model that a request means by a name.

        Raises:
            ServiceError: There is no such model, or it cannot answer now.
        """
        return await self._acquire(name or self.names.embedding_model_id or "", "", generates=False)

    async def _acquire(self, name: str, adapter_id: str, *, generates: bool) -> Lease[ServedModel]:
        model_id, adapter = self.names.resolve(name)
        if adapter and adapter_id and adapter != adapter_id:
            raise invalid("adapter_id", f"is {adapter_id!r}, but model_id names {adapter!r}")
        adapter = adapter or adapter_id
        slot = self._residency.slot(model_id)
        source = slot.source or self.names.sources().get(model_id)
        if source is None:
            raise not_found(name, list(self.names.sources()))
        # What will not be there either when the model is loaded is told before it is.
        self._adapters.require(model_id, adapter)
        # One that is loaded is asked itself; nothing is loaded only to be refused.
        if generates and slot.resident is None and await asyncio.to_thread(is_encoder, source.path):
            raise not_generative(model_id, "it only makes embeddings")
        autoload = self.settings_of(source) if self._options.autoload else None
        lease = await self._residency.acquire(source, autoload=autoload)
        self._adapters.choose(lease, model_id, adapter)
        return lease

    async def records(self) -> list[ModelRecord]:
        """All models, the default one first, then by id."""
        sources = self._catalogue.sources()
        descriptions = await asyncio.to_thread(lambda: [describe(source) for source in sources])
        ids = [source.model_id for source in sources]
        records = [self._record(description, ids) for description in descriptions]
        return sorted(records, key=lambda record: (not record.default, record.model_id))

    async def record(self, name: str) -> ModelRecord:
        """One model by any of its names.

        Raises:
            ServiceError: There is no such model, or it has no such adapter.
        """
        model_id, adapter = self.names.resolve(name)
        self._adapters.require(model_id, adapter)
        sources = self.names.sources()
        if model_id not in sources:
            raise not_found(name, list(self.names.sources()))
        description = await asyncio.to_thread(describe, sources[model_id])
        return self._record(description, list(sources))

    def default_is_ready(self) -> bool:
        """Whether a request that names no model is answered."""
        if self.names.default_model_id is None:
            return False
        slot = self._residency.slot(self.names.default_model_id)
        # One that left memory, or was left out at the start, comes for the next request.
        comes_back = slot.state in (ModelState.UNLOADED, ModelState.UNLOADING) and (
            slot.was_loaded or not self._options.preload
        )
        return slot.resident is not None or (comes_back and self._options.autoload)

    def count(self) -> int:
        """How many models there are."""
        return len(self._catalogue.sources())

    def loaded(self) -> list[ServedModel]:
        """The models that can answer."""
        return self._residency.loaded()

    def retired(self) -> dict[str, dict[str, int]]:
        """What engines had done when they were closed, by model and field of `EngineStats`."""
        return self._residency.retired()

    def states(self) -> dict[str, ModelState]:
        """Every model that was ever asked to load, and how it stands."""
        return self._residency.states()

    async def close(self) -> None:
        """Unloads everything; running requests fail."""
        await self._residency.close()

    def _record(self, description: ModelDescription, ids: list[str]) -> ModelRecord:
        model_id = description.source.model_id
        slot = self._residency.slot(model_id)
        return ModelRecord(
            description=description,
            state=slot.state,
            message=slot.message,
            aliases=self.names.aliases_of(model_id, ids),
            default=model_id == self.names.default_model_id,
            default_embedding=model_id == self.names.embedding_model_id,
            model=None if slot.resident is None else slot.resident.model,
            settings=self.settings_of(description.source),
            pooling=self._loading.pooling,
            adapters=self._adapters.records(model_id),
            memory_bytes=0 if slot.resident is None else slot.resident.memory_bytes,
        )
