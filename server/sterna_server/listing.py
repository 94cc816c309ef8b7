"""The table of `sterna models`."""

from __future__ import annotations

from dataclasses import dataclass

from sterna import Client, SternaError
from sterna.errors import UnavailableError
from sterna.server_types import StoredAdapter
from sterna_server.calling import call_arguments
from sterna_server.errors import CommandError
from sterna_server.settings import Settings
from sterna_service.models.catalogue import Catalogue
from sterna_service.models.description import describe
from sterna_service.models.stored_adapters import AdapterDescription

_HEADER = ("MODEL", "PARAMETERS", "WEIGHTS", "CONTEXT", "SIZE", "STATE")
_RIGHT = {1, 3, 4}
_UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class _Row:
    model_id: str
    parameters: int
    quantization: str
    context: int
    size_bytes: int
    state: str

    def cells(self) -> tuple[str, ...]:
        return (
            self.model_id,
            count_text(self.parameters),
            self.quantization or _UNKNOWN,
            str(self.context) if self.context else _UNKNOWN,
            size_text(self.size_bytes),
            self.state,
        )


def list_models(settings: Settings) -> list[str]:
    """The lines of a table: the models of a running core when one is named, else of this machine.

    Raises:
        CommandError: The core that was named does not answer.
    """
    rows = _of_core(settings) if settings.core else _of_this_machine(settings)
    table = [_HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_HEADER))]
    return [
        "  ".join(
            cell.rjust(width) if column in _RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]


def _of_this_machine(settings: Settings) -> list[_Row]:
    # It shows sizes as this module does.
    from sterna_server.store.adapters import stored

    rows = []
    for source in Catalogue(settings.home).sources():
        model = describe(source)
        state = model.problem or ("embedded" if source.built_in else "in the store")
        rows.append(
            _Row(
                source.model_id,
                model.parameter_count,
                model.quantization,
                model.context_length,
                model.size_bytes,
                state,
            )
        )
    return rows + [_stored_adapter_row(adapter) for adapter in stored(settings)]


def _stored_adapter_row(adapter: AdapterDescription | StoredAdapter) -> _Row:
    return _Row(
        adapter.adapter_id,
        0,
        f"LoRA, rank {adapter.rank}" if adapter.rank else "LoRA",
        0,
        adapter.size_bytes,
        adapter.problem or "adapter in the store",
    )


def _of_core(settings: Settings) -> list[_Row]:
    try:
        with Client(settings.core, **call_arguments(settings)) as client:
            models = client.list_models()
            adapters = client.list_stored_adapters()
    except UnavailableError as error:
        raise CommandError(f"no core answers at {settings.core} ({error.message})") from None
    except (SternaError, ValueError) as error:
        raise CommandError(str(error)) from None
    rows = [
        _Row(
            model.model_id,
            model.parameter_count,
            model.quantization,
            model.context_length,
            model.size_bytes,
            model.state_message
            or f"{model.state.value}{', default' if model.default_model else ''}",
        )
        for model in models
    ]
    for model in models:
        rows += [
            _Row(
                f"{model.model_id}:{adapter.adapter_id}",
                0,
                f"LoRA, rank {adapter.rank}" if adapter.rank else "LoRA",
                0,
                adapter.memory_bytes,
                f"{adapter.state.value}"
                f"{', default' if adapter.adapter_id == model.default_adapter_id else ''}",
            )
            for adapter in model.adapters
        ]
    return rows + [_stored_adapter_row(adapter) for adapter in adapters]


def count_text(number: int) -> str:
    """A number of parameters, to about three digits."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return str(number) if number else _UNKNOWN


def size_text(size: int) -> str:
    """A number of bytes, in the unit that fits."""
    for limit, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size} B" if size else _UNKNOWN
