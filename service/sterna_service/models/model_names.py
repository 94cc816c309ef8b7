"""Which model a name means on this server, and which models are its defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sterna_service.encoders.files import is_encoder
from sterna_service.errors import ModelLoadError, ServiceError
from sterna_service.models.catalogue import EMBEDDED_MODEL_ID, Catalogue, ModelSource
from sterna_service.models.naming import aliases_of, is_model_id, match_model
from sterna_service.models.refusals import IS_ADAPTER, adapter_alone, list_ids, not_found


class ModelNames:
    """The names of the models. Belongs to the event loop."""

    def __init__(
        self,
        home: Path,
        catalogue: Catalogue,
        aliases: Mapping[str, str],
        is_loaded: Callable[[str], bool],
    ) -> None:
        self._home = home
        self._catalogue = catalogue
        self._aliases = aliases
        self._is_loaded = is_loaded
        self.default_model_id: str | None = None
        """The model of requests that name none."""
        self.first_model_id: str | None = None
        """The default model that the server started with."""
        self._embedding_model_id: str | None = None

    @property
    def embedding_model_id(self) -> str | None:
        """The model of requests for vectors that name none: the chosen one, or the default."""
        return self._embedding_model_id or self.default_model_id

    def select_default(self, name: str | None) -> ModelSource:
        """Makes a model the default: an id, an alias, a directory, or None for the embedded one.

        Raises:
            ModelLoadError: There is no such model.
        """
        source = self._select(name)
        if is_encoder(source.path):
            raise ModelLoadError(
                f"{source.model_id} is a sentence encoder and cannot be the default model, which "
                "generates text; give it as embedding_model"
            )
        self.default_model_id = self.first_model_id = source.model_id
        return source

    def select_embedding(self, name: str) -> ModelSource:
        """Makes a model the one for vectors, named as in `select_default`.

        Raises:
            ModelLoadError: There is no such model.
        """
        source = self._select(name)
        self._embedding_model_id = source.model_id
        return source

    def _select(self, name: str | None) -> ModelSource:
        sources = self.sources()
        found = match_model(name or EMBEDDED_MODEL_ID, list(sources), self._aliases, None)
        if found is not None:
            return sources[found]
        if name is not None and not Path(name).expanduser().exists() and is_model_id(name):
            adapter = self._catalogue.find_adapter(name)
            if adapter is not None:
                raise ModelLoadError(f"{name!r} {IS_ADAPTER}")
            raise ModelLoadError(
                f"there is no model {name!r} in {self._home / 'models'}, and no directory of that "
                f"name; there are: {list_ids(list(sources))}"
            )
        return self._catalogue.add(Path(name or ""))

    def find(self, name: str) -> ModelSource:
        """The model that an operator means: by any of its names, or by its path in the store.

        Raises:
            ServiceError: There is none, or the path leads out of the store.
        """
        sources = self.sources()
        found = match_model(name, list(sources), self._aliases, self.default_model_id)
        if found is not None:
            return sources[found]
        by_path = self._catalogue.at(name)
        if by_path is None:
            raise self._missing(name, list(sources))
        return by_path

    def identify(self, name: str) -> str:
        """The id of the model that a name means, with its adapter if the name has one.

        Raises:
            ServiceError: There is no such model.
        """
        model_id, adapter = self.resolve(name)
        return f"{model_id}:{adapter}" if adapter else model_id

    def base_of(self, name: str) -> str:
        """The id of the model that a name means, without an adapter.

        Raises:
            ServiceError: There is no such model.
        """
        return self.resolve(name)[0]

    def resolve(self, name: str) -> tuple[str, str]:
        """The id of the model that a name means and the adapter in that name, if there is one.

        Raises:
            ServiceError: There is no such model.
        """
        if not name and self.default_model_id is not None:
            return self.default_model_id, ""
        if self._is_loaded(name):
            # The common case, which need not look at the disk.
            return name, ""
        ids = list(self.sources())
        # Before aliases: the alias `*` would take the adapter for a part of the model's name.
        base, colon, adapter = name.partition(":")
        if colon and name not in self._aliases:
            found = match_model(base, ids, {}, None)
            if found is not None:
                return found, adapter
        found = match_model(name, ids, self._aliases, self.default_model_id)
        if found is not None:
            return found, ""
        raise self._missing(name, ids)

    def _missing(self, name: str, ids: list[str]) -> ServiceError:
        adapter = self._catalogue.find_adapter(name)
        return not_found(name, ids) if adapter is None else adapter_alone(adapter.model_id)

    def aliases_of(self, model_id: str, ids: list[str]) -> list[str]:
        """The aliases that lead to one of the models, sorted."""
        return aliases_of(model_id, ids, self._aliases)

    def sources(self) -> dict[str, ModelSource]:
        """All models by id."""
        return {source.model_id: source for source in self._catalogue.sources()}
