"""Finds the models that there are: the embedded one, those in the store, one given by its path."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from sterna_service.directories import remove
from sterna_service.engine.adapter import CONFIG_FILE, TENSOR_FILE, is_adapter
from sterna_service.errors import ModelLoadError, Reason, ServiceError
from sterna_service.models.gguf.convert import drop_converted, gguf_in
from sterna_service.models.naming import is_model_id, match_model

EMBEDDED_MODEL_ID = "sterna/tern-nano"

_EMBEDDED_PATH = Path(__file__).parent / "embedded"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A checkpoint and the id that it is known by. `path` is its directory, or one GGUF file."""

    model_id: str
    path: Path
    built_in: bool = False

    @property
    def owner(self) -> str:
        """The organisation in the id, or `local`."""
        organisation, slash, _ = self.model_id.partition("/")
        return organisation if slash else "local"

    @property
    def bundle_stem(self) -> str:
        """What the names of its packed forms begin with."""
        return self.model_id.replace("/", "--")


def drop_packed(source: ModelSource, home: Path) -> None:
    """Deletes what was made of a model's files, which are about to go: its bundles and, of a GGUF
    file, the checkpoint. Whoever has them mapped goes on with them. Blocks."""
    drop_converted(source.path, home)
    fingerprint = "[0-9a-f]" * 16
    for bundle in (home / "bundles").glob(f"{source.bundle_stem}-{fingerprint}*.safetensors"):
        bundle.unlink(missing_ok=True)


class Catalogue:
    """The models of one home directory. Looks at the disk at every call, so it is never stale."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._store = home / "models"
        self._given: dict[str, ModelSource] = {}

    def add(self, path: Path) -> ModelSource:
        """Adds a checkpoint directory, or a GGUF file, outside of the store.

        Raises:
            ModelLoadError: There is no checkpoint.
        """
        path = path.expanduser().resolve()
        if path.is_dir():
            if not _is_checkpoint(path):
                raise ModelLoadError(
                    f"{path}: not a checkpoint: there is no config.json in it, and no *.gguf"
                )
        elif path.suffix != ".gguf" or not path.is_file():
            raise ModelLoadError(f"{path}: no such directory, and no GGUF file")
        for source in self.sources():
            if source.path.resolve() == path:
                return source
        stem = path.name.removesuffix(".gguf")
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-") or "model"
        source = ModelSource(name, path)
        self._given[name] = source
        return source

    def at(self, path: str) -> ModelSource | None:
        """The model in a directory of the store, given absolutely or from the store's own; None
        when there is none.

        Raises:
            ServiceError: The path leads out of the store.
        """
        target = self._inside(path)
        if target is None:
            return None
        sources = (source for source in self.sources() if self.stores(source))
        return next((source for source in sources if source.path.resolve() == target), None)

    def adapter_at(self, path: str) -> Path | None:
        """A directory of the store with an adapter, given absolutely or from the store's own, or by
        the end of its id; None when there is none.

        Raises:
            ServiceError: The path leads out of the store.
        """
        target = self._inside(path)
        if target is None or not is_adapter(target):
            named = self.find_adapter(path)
            if named is None:
                return None
            target = named.path
        for name in (CONFIG_FILE, TENSOR_FILE):
            # Neither may a file be a link that leads out.
            self._inside(str(target / name))
        return target

    def _inside(self, path: str) -> Path | None:
        """The place that a path means, links followed; None for what cannot be a path."""
        store = self._store.resolve()
        try:
            target = (store / path).resolve()
        except (OSError, ValueError, RuntimeError):
            # A null character, or a loop of links.
            return None
        if not target.is_relative_to(store):
            raise ServiceError(
                Reason.PATH_FORBIDDEN,
                "the path leads out of the model store; give a path inside of it, or a model's id",
                metadata={"path": path[:200]},
            )
        return target

    def stores(self, source: ModelSource) -> bool:
        """Whether a model lies in the store, rather than in a directory of the user's."""
        return source.path.resolve().is_relative_to(self._store.resolve())

    def remove(self, source: ModelSource) -> None:
        """Deletes a model of the store with its packed forms. Blocks."""
        drop_packed(source, self._home)
        remove(source.path)
        with contextlib.suppress(OSError):
            source.path.parent.rmdir()

    def find_adapter(self, name: str) -> ModelSource | None:
        """An adapter that lies in the store as models do, by its id or the end of it."""
        found = {source.model_id: source for source in self.stored_adapters()}
        adapter_id = match_model(name, list(found), {}, None)
        return None if adapter_id is None else found[adapter_id]

    def stored_adapters(self) -> list[ModelSource]:
        """The adapters that lie in the store as models do, by id."""
        found = {}
        for directory in self._store.glob("*/*/"):
            adapter_id = f"{directory.parent.name}/{directory.name}"
            inside = directory.resolve().is_relative_to(self._store.resolve())
            if holds_adapter(directory) and inside and is_model_id(adapter_id):
                found[adapter_id] = ModelSource(adapter_id, directory)
        return [found[adapter_id] for adapter_id in sorted(found)]

    def sources(self) -> list[ModelSource]:
        """All models, by id."""
        found = {EMBEDDED_MODEL_ID: ModelSource(EMBEDDED_MODEL_ID, _EMBEDDED_PATH, built_in=True)}
        for directory in self._store.glob("*/*/"):
            if not _is_checkpoint(directory):
                continue
            model_id = f"{directory.parent.name}/{directory.name}"
            # A link that leads out of the store is not followed.
            if is_model_id(model_id) and directory.resolve().is_relative_to(self._store.resolve()):
                found.setdefault(model_id, ModelSource(model_id, directory))
        found.update(self._given)
        return [found[model_id] for model_id in sorted(found)]


def holds_adapter(directory: Path) -> bool:
    """Whether a directory holds an adapter and no model. Blocks."""
    return is_adapter(directory) and not _is_checkpoint(directory)


def _is_checkpoint(directory: Path) -> bool:
    return (directory / "config.json").is_file() or gguf_in(directory) is not None
