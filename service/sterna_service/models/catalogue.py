"""Finds the models that there are: the embedded one, those in the store, one given by its path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sterna_service.errors import ModelLoadError
from sterna_service.models.naming import is_model_id

EMBEDDED_MODEL_ID = "sterna/tern-nano"

_EMBEDDED_PATH = Path(__file__).parent / "embedded"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A checkpoint directory and the id that it is known by."""

    model_id: str
    path: Path
    built_in: bool = False

    @property
    def owner(self) -> str:
        """The organisation in the id, or `local`."""
        organisation, slash, _ = self.model_id.partition("/")
        return organisation if slash else "local"


class Catalogue:
    """The models of one home directory. Looks at the disk at every call, so it is never stale."""

    def __init__(self, home: Path) -> None:
        self._store = home / "models"
        self._given: dict[str, ModelSource] = {}

    def add(self, path: Path) -> ModelSource:
        """Adds the checkpoint in a directory outside of the store.

        Raises:
            ModelLoadError: There is no checkpoint.
        """
        path = path.expanduser().resolve()
        if not path.is_dir():
            raise ModelLoadError(f"{path}: no such directory")
        if not (path / "config.json").is_file():
            raise ModelLoadError(f"{path}: not a checkpoint: there is no config.json in it")
        for source in self.sources():
            if source.path.resolve() == path:
                return source
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name).strip(".-") or "model"
        source = ModelSource(name, path)
        self._given[name] = source
        return source

    def sources(self) -> list[ModelSource]:
        """All models, by id."""
        found = {EMBEDDED_MODEL_ID: ModelSource(EMBEDDED_MODEL_ID, _EMBEDDED_PATH, built_in=True)}
        for path in self._store.glob("*/*/config.json"):
            directory = path.parent
            model_id = f"{directory.parent.name}/{directory.name}"
            # A link that leads out of the store is not followed.
            if is_model_id(model_id) and directory.resolve().is_relative_to(self._store.resolve()):
                found.setdefault(model_id, ModelSource(model_id, directory))
        found.update(self._given)
        return [found[model_id] for model_id in sorted(found)]
