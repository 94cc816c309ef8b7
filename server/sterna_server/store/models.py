"""Finding, describing, checking, importing, packing and removing the models of this machine."""

from __future__ import annotations

import re
import time
from pathlib import Path

from sterna_server.errors import CommandError
from sterna_server.listing import count_text, size_text
from sterna_server.settings import Settings
from sterna_server.store.adapters import adapter_lines, find_adapter
from sterna_service.encoders.files import is_encoder
from sterna_service.encoders.traits import Pooling
from sterna_service.errors import ModelLoadError, ServiceError
from sterna_service.models.catalogue import EMBEDDED_MODEL_ID, Catalogue, ModelSource
from sterna_service.models.description import ModelDescription, describe
from sterna_service.models.gguf.convert import checkpoint_of
from sterna_service.models.manifest import compare, read_manifest
from sterna_service.models.naming import is_model_id, match_model
from sterna_service.models.store import Store


def find(settings: Settings, name: str) -> ModelSource:
    """A model by its id, the end of its id, an alias, or its directory.

    Raises:
        CommandError: There is none.
    """
    catalogue = Catalogue(settings.home)
    sources = {source.model_id: source for source in catalogue.sources()}
    found = match_model(name or EMBEDDED_MODEL_ID, list(sources), settings.aliases, None)
    if found is not None:
        return sources[found]
    if Path(name).expanduser().exists():
        try:
            return catalogue.add(Path(name))
        except ModelLoadError as error:
            raise CommandError(str(error)) from None
    raise CommandError(f"there is no model {name!r}; `sterna models` lists what there is")


def describe_lines(settings: Settings, name: str) -> list[str]:
    """What is known of a model, a line each.

    Raises:
        CommandError: There is no such model.
    """
    adapter = find_adapter(settings, name)
    if adapter is not None:
        return adapter_lines(adapter)
    source = find(settings, name)
    model = describe(source)
    manifest = read_manifest(source.path)
    shape = model.shape
    pulled = manifest is not None and manifest.revision
    rows = [
        ("model", source.model_id),
        ("problem", model.problem),
        ("architecture", shape.name),
        ("weights", model.quantization),
        ("parameters", count_text(model.parameter_count)),
        ("context", f"{model.context_length} tokens" if model.context_length else ""),
        ("vectors", _vectors_text(model)),
        ("layers", str(shape.layer_count or "")),
        ("hidden size", str(shape.hidden_size or "")),
        ("vocabulary", str(shape.vocabulary_size or "")),
        ("template", model.template_name),
        ("size", size_text(model.size_bytes)),
        ("pulled from", f"{manifest.source}@{manifest.revision}" if manifest and pulled else ""),
        ("stored", "" if manifest is None else f"{manifest.stored:%Y-%m-%d %H:%M} UTC"),
        ("directory", str(source.path)),
    ]
    return [f"{label:<13} {value}" for label, value in rows if value]


def _vectors_text(model: ModelDescription) -> str:
    """How a sentence encoder makes vectors; empty for a language model."""
    if not model.encoder or model.problem:
        return ""
    prompts = ", ".join(model.embedding.prompts)
    text = f"{model.dimensions} numbers, {(model.embedding.pooling or Pooling.MEAN).value} pooling"
    return f"{text}; prompts: {prompts}" if prompts else text


def verify(settings: Settings, name: str) -> list[str]:
    """What is wrong with a stored model's files, a line each; nothing when all is well.

    Raises:
        CommandError: There is no such model, or nothing is noted that it could be compared with.
    """
    adapter = find_adapter(settings, name)
    source = find(settings, name) if adapter is None else adapter.source
    manifest = read_manifest(source.path)
    if manifest is None:
        raise CommandError(
            f"{source.model_id} was neither pulled nor imported, so no digests of it are known"
        )
    return compare(source.path, manifest)


def take_in(settings: Settings, path: Path, model_id: str | None) -> str:
    """Copies a checkpoint directory or an adapter into the store and returns its id.

    Raises:
        CommandError: It cannot be taken in.
    """
    path = path.expanduser()
    if model_id is None:
        stem = (
            re.sub(r"[^A-Za-z0-9._-]+", "-", path.resolve().name.removesuffix(".gguf")).strip(".-")
            or "model"
        )
        model_id = f"local/{stem}"
    if not is_model_id(model_id):
        raise CommandError(f"--id: {model_id!r} is no id; give ORGANISATION/NAME")
    try:
        Store(settings.home).take_in(model_id, path)
    except (ModelLoadError, ServiceError) as error:
        raise CommandError(str(error)) from None
    return model_id


def remove(settings: Settings, model_id: str) -> int:
    """Deletes a model of the store with its bundles and returns the bytes that became free.

    Raises:
        CommandError: The store has no model of that id.
    """
    catalogue = Catalogue(settings.home)
    everything = [*catalogue.sources(), *catalogue.stored_adapters()]
    source = next((each for each in everything if each.model_id == model_id), None)
    if source is None or source.built_in or not catalogue.stores(source):
        stored = [each.model_id for each in everything if catalogue.stores(each)]
        there = ", ".join(stored) or "nothing"
        raise CommandError(f"the store has no model {model_id!r}; it has: {there}")
    adapter = find_adapter(settings, model_id)
    size = describe(source).size_bytes if adapter is None else adapter.size_bytes
    try:
        catalogue.remove(source)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None
    return size


def pack(settings: Settings, name: str) -> list[str]:
    """Packs a model for the engine; what was done, a line each.

    Raises:
        CommandError: There is no such model, or it cannot be packed.
    """
    from sterna_service.engine.packing import Packing
    from sterna_service.engine.packing import pack as pack_bundle

    source = find(settings, name)
    if is_encoder(source.path):
        raise CommandError(f"{source.model_id} is a sentence encoder, which is used as it is")
    began = time.perf_counter()
    try:
        checkpoint = checkpoint_of(source.path, settings.home)
        packing = Packing(
            screened_head=settings.exact_head_screening, head_precision=settings.unembed_quant
        )
        bundle = pack_bundle(checkpoint, source.bundle_stem, settings.home, packing)
    except ModelLoadError as error:
        raise CommandError(f"{source.model_id}: {error}") from None
    if bundle.temporary:
        bundle.release()
        raise CommandError(f"{settings.home}: cannot be written to, so the bundle was not kept")
    size = size_text(bundle.path.stat().st_size)
    if not bundle.packed_now:
        return [f"{source.model_id} is packed already: {bundle.path} ({size})"]
    seconds = time.perf_counter() - began
    return [f"{source.model_id} packed in {seconds:.1f} s: {bundle.path} ({size})"]
