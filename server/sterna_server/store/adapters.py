"""The LoRA adapters of this machine's store."""

from __future__ import annotations

from sterna_server.listing import size_text
from sterna_server.settings import Settings
from sterna_service.models.catalogue import Catalogue
from sterna_service.models.stored_adapters import AdapterDescription, describe_adapter


def stored(settings: Settings) -> list[AdapterDescription]:
    """All adapters, by id."""
    return [describe_adapter(source) for source in Catalogue(settings.home).stored_adapters()]


def find_adapter(settings: Settings, name: str) -> AdapterDescription | None:
    """An adapter of the store by its id or the end of it."""
    found = Catalogue(settings.home).find_adapter(name) if name else None
    return None if found is None else describe_adapter(found)


def adapter_lines(adapter: AdapterDescription) -> list[str]:
    """What is known of an adapter, a line each."""
    created = adapter.create_time
    pulled = f"{adapter.adapter_id}@{adapter.revision}" if adapter.revision else ""
    rows = [
        ("adapter", adapter.adapter_id),
        ("problem", adapter.problem),
        ("made for", adapter.base_model),
        ("rank", str(adapter.rank or "")),
        ("modules", ", ".join(adapter.modules)),
        ("size", size_text(adapter.size_bytes)),
        ("pulled from", pulled),
        ("stored", "" if created is None else f"{created:%Y-%m-%d %H:%M} UTC"),
        ("directory", str(adapter.source.path)),
    ]
    return [f"{label:<13} {value}" for label, value in rows if value]
