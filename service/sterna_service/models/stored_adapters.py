"""What the adapters of the store say of themselves, without a model to load them with."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sterna_service.engine.adapter import CONFIG_FILE, TENSOR_FILE
from sterna_service.errors import ModelLoadError
from sterna_service.files import read_json
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.manifest import read_manifest

_MOST_MODULES = 100
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class AdapterDescription:
    """What an adapter says of itself; the model that it is loaded for checks it."""

    source: ModelSource
    base_model: str = ""
    """The model that it was made for; may be empty, or any name at all."""
    rank: int = 0
    """Of its matrices, where no pattern says otherwise; 0: not said."""
    modules: tuple[str, ...] = ()
    """What it changes: names, sorted, or one regular expression."""
    size_bytes: int = 0
    """Of its weights on disk."""
    create_time: datetime | None = None
    revision: str = ""
    """The commit that was pulled; empty when it was not pulled."""
    problem: str = ""
    """Why it cannot be loaded; empty: nothing is known against it."""

    @property
    def adapter_id(self) -> str:
        return self.source.model_id


def describe_adapter(source: ModelSource) -> AdapterDescription:
    """Describes an adapter. Never fails: a damaged one is described by its problem. Blocks."""
    config: dict[str, Any] = {}
    problem, size, created = "", 0, None
    try:
        config = read_json(source.path / CONFIG_FILE)
    except ModelLoadError as error:
        problem = str(error)
    with contextlib.suppress(OSError):
        facts = (source.path / TENSOR_FILE).stat()
        size, created = facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC)
    if not problem and created is None:
        problem = f"there is no {TENSOR_FILE}"
    manifest = read_manifest(source.path)
    rank, modules = config.get("r"), config.get("target_modules")
    names = sorted(map(_text, modules)) if isinstance(modules, list) else [_text(modules)]
    return AdapterDescription(
        source=source,
        base_model=_text(config.get("base_model_name_or_path")),
        rank=rank if type(rank) is int and 0 < rank < 2**31 else 0,
        modules=tuple(filter(None, names[:_MOST_MODULES])),
        size_bytes=size,
        create_time=created if manifest is None else manifest.stored,
        revision="" if manifest is None else manifest.revision,
        problem=problem,
    )


def _text(value: Any) -> str:
    """A value of a file that anybody may have written, on one line."""
    text = value if isinstance(value, str) else ""
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST_TEXT]
