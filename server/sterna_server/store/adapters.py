"""The LoRA adapters of this machine's store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sterna_server.listing import size_text
from sterna_server.settings import Settings
from sterna_service.engine.adapter import CONFIG_FILE, TENSOR_FILE
from sterna_service.errors import ModelLoadError
from sterna_service.files import read_json
from sterna_service.models.catalogue import Catalogue, ModelSource
from sterna_service.models.naming import match_model


@dataclass(frozen=True, slots=True)
class AdapterDescription:
    """What an adapter says of itself; the model that it is loaded for checks it."""

    source: ModelSource
    base_model: str
    rank: str
    modules: str
    size_bytes: int
    problem: str


def stored(settings: Settings) -> list[AdapterDescription]:
    """All adapters, by id."""
    return [_describe(source) for source in Catalogue(settings.home).stored_adapters()]


def find_adapter(settings: Settings, name: str) -> AdapterDescription | None:
    """An adapter of the store by its id or the end of it."""
    sources = {each.model_id: each for each in Catalogue(settings.home).stored_adapters()}
    found = match_model(name, list(sources), {}, None) if name else None
    return None if found is None else _describe(sources[found])


def describe_adapter(adapter: AdapterDescription) -> list[str]:
    """What is known of an adapter, a line each."""
    rows = [
        ("adapter", adapter.source.model_id),
        ("problem", adapter.problem),
        ("made for", adapter.base_model),
        ("rank", adapter.rank),
        ("modules", adapter.modules),
        ("size", size_text(adapter.size_bytes)),
        ("directory", str(adapter.source.path)),
    ]
    return [f"{label:<13} {value}" for label, value in rows if value]


def _describe(source: ModelSource) -> AdapterDescription:
    problem, config = "", {}
    try:
        config = read_json(source.path / CONFIG_FILE)
    except ModelLoadError as error:
        problem = str(error)
    tensors = source.path / TENSOR_FILE
    if not problem and not tensors.is_file():
        problem = f"there is no {TENSOR_FILE}"
    return AdapterDescription(
        source=source,
        base_model=_text(config.get("base_model_name_or_path")),
        rank=_text(config.get("r")),
        modules=_text(config.get("target_modules")),
        size_bytes=tensors.stat().st_size if tensors.is_file() else 0,
        problem=problem,
    )


def _text(value: Any) -> str:
    """A value of a file that anybody may have written, on one line."""
    if isinstance(value, list):
        value = ", ".join(sorted(map(str, value)))
    text = "" if value is None else str(value)
    return "".join(letter for letter in text if letter.isprintable())[:200]
