"""Which models are loaded, and what a request gets when the one it wants is not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sterna_service.engine.types import EngineOptions
from sterna_service.errors import ModelLoadError, Reason, ServiceError
from sterna_service.inference.loaded_model import LoadedModel, load_model
from sterna_service.models.catalogue import EMBEDDED_MODEL_ID, Catalogue, ModelSource
from sterna_service.models.description import ModelDescription, describe
from sterna_service.models.naming import aliases_of, is_model_id, match_model

_log = logging.getLogger(__name__)

# How long a client should wait for a model that is being loaded, in seconds.
LOADING_RETRY_SECONDS = 2.0


class ModelState(Enum):
    """The life of a model, as in the protocol."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    LOADED = "loaded"
    FAILED = "failed"


@dataclass(slots=True)
class _Entry:
    state: ModelState
    message: str = ""
    model: LoadedModel | None = None


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model as it is now. `message` says why it failed; `model` is set while it is loaded."""

    description: ModelDescription
    state: ModelState
    message: str
    aliases: list[str]
    default: bool
    model: LoadedModel | None

    @property
    def model_id(self) -> str:
        return self.description.source.model_id


class ModelRegistry:
    """The models of one server. Belongs to the event loop."""

    def __init__(self, home: Path, aliases: Mapping[str, str], options: EngineOptions) -> None:
        self._home = home
        self._aliases = dict(aliases)
        self._options = options
        self._catalogue = Catalogue(home)
        self._entries: dict[str, _Entry] = {}
        self.default_model_id: str | None = None
        """The model of requests that name none."""

    def select_default(self, name: str | None) -> ModelSource:
        """Makes a model the default: an id, an alias, a directory, or None for the embedded one.

        Raises:
            ModelLoadError: There is no such model.
        """
        sources = {source.model_id: source for source in self._catalogue.sources()}
        found = match_model(name or EMBEDDED_MODEL_ID, list(sources), self._aliases, None)
        if found is not None:
            source = sources[found]
        elif name is not None and not Path(name).expanduser().is_dir() and is_model_id(name):
            raise ModelLoadError(
                f"there is no model {name!r} in {self._home / 'models'}, and no directory of that "
                f"name; there are: {_list(list(sources))}"
            )
        else:
            source = self._catalogue.add(Path(name or ""))
        self.default_model_id = source.model_id
        return source

    async def load(self, source: ModelSource) -> LoadedModel:
        """Loads a model that is not loaded.

        Raises:
            ModelLoadError: It cannot be used; its record says why from then on.
        """
        entry = self._entries[source.model_id] = _Entry(ModelState.LOADING)
        try:
            model = await load_model(source.model_id, source.path, self._home, self._options)
        except ModelLoadError as error:
            entry.state, entry.message = ModelState.FAILED, str(error)
            raise
        except BaseException:
            del self._entries[source.model_id]
            raise
        entry.model, entry.state = model, ModelState.LOADED
        _log.info(
            "model loaded",
            extra={
                "model": source.model_id,
                "parameters": model.port.config.parameter_count,
                "context_length": model.context_length,
                "kernels": model.port.stats().kernels,
                "threads": model.port.stats().threads,
            },
        )
        return model

    def resolve(self, name: str, adapter_id: str = "") -> LoadedModel:
        """The loaded model that a request means by a name and an adapter.

        Raises:
            ServiceError: There is no such model or adapter, or it cannot answer now.
        """
        model_id, adapter = self._match(name)
        adapter = adapter or adapter_id
        if adapter:
            raise ServiceError(
                Reason.ADAPTER_NOT_FOUND,
                f"the model {model_id} has no adapter {adapter!r}; none is loaded",
                metadata={"adapter": adapter, "model": model_id},
            )
        entry = self._entries.get(model_id, _Entry(ModelState.UNLOADED))
        if entry.model is not None:
            return entry.model
        metadata = {"model": model_id}
        if entry.state is ModelState.LOADING:
            raise ServiceError(
                Reason.MODEL_LOADING,
                f"the model {model_id} is being loaded; try again in a moment",
                metadata=metadata,
                retry_after=LOADING_RETRY_SECONDS,
            )
        why = f" (loading it failed: {entry.message})" if entry.message else ""
        loaded = ", ".join(id for id, other in self._entries.items() if other.model) or "none"
        raise ServiceError(
            Reason.MODEL_NOT_LOADED,
            f"the model {model_id} is not loaded{why}; loaded: {loaded}",
            metadata=metadata,
        )

    def identify(self, name: str) -> str:
        """The id of the model that a name means, with its adapter if the name has one.

        Raises:
            ServiceError: There is no such model.
        """
        model_id, adapter = self._match(name)
        return f"{model_id}:{adapter}" if adapter else model_id

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
            ServiceError: There is no such model.
        """
        model_id, _ = self._match(name)
        sources = self._catalogue.sources()
        source = next(source for source in sources if source.model_id == model_id)
        description = await asyncio.to_thread(describe, source)
        return self._record(description, [source.model_id for source in sources])

    def default_is_ready(self) -> bool:
        """Whether a request that names no model is answered."""
        entry = self._entries.get(self.default_model_id or "")
        return entry is not None and entry.state is ModelState.LOADED

    def count(self) -> int:
        """How many models there are."""
        return len(self._catalogue.sources())

    def loaded(self) -> list[LoadedModel]:
        """The models that can answer."""
        return [entry.model for entry in self._entries.values() if entry.model is not None]

    def states(self) -> dict[str, ModelState]:
        """Every model that was ever asked to load, and how it stands."""
        return {model_id: entry.state for model_id, entry in self._entries.items()}

    async def close(self) -> None:
        """Unloads everything; running requests fail."""
        for model in self.loaded():
            await model.port.close()
        self._entries.clear()

    def _record(self, description: ModelDescription, ids: list[str]) -> ModelRecord:
        model_id = description.source.model_id
        entry = self._entries.get(model_id, _Entry(ModelState.UNLOADED))
        return ModelRecord(
            description=description,
            state=entry.state,
            message=entry.message,
            aliases=aliases_of(model_id, ids, self._aliases),
            default=model_id == self.default_model_id,
            model=entry.model,
        )

    def _match(self, name: str) -> tuple[str, str]:
        """The id of a model and the adapter in its name, if there is one."""
        if not name and self.default_model_id is not None:
            return self.default_model_id, ""
        if name in self._entries:
            return name, ""
        ids = [source.model_id for source in self._catalogue.sources()]
        # Before aliases: the alias `*` would take the adapter for a part of the model's name.
        base, colon, adapter = name.partition(":")
        if colon and name not in self._aliases:
            found = match_model(base, ids, {}, None)
            if found is not None:
                return found, adapter
        found = match_model(name, ids, self._aliases, self.default_model_id)
        if found is not None:
            return found, ""
        shown = name if len(name) <= 200 else f"{name[:200]}…"
        raise ServiceError(
            Reason.MODEL_NOT_FOUND,
            f"there is no model {shown!r}; there are: {_list(ids)}",
            metadata={"model": shown},
        )


def _list(ids: list[str]) -> str:
    """The ids for a message, which has to stay short."""
    most = 10
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more
