"""How checkpoints are packed: the choices, and packing ahead of a first load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sterna_service.engine import _native
from sterna_service.engine.bundle import Bundle, ensure_bundle
from sterna_service.engine.types import HeadPrecision
from sterna_service.errors import ModelLoadError


@dataclass(frozen=True, slots=True)
class Packing:
    """Choices that decide what a bundle holds."""

    screened_head: bool = True
    """A large output head lies in halves, so that screening reads one of them."""
    head_precision: HeadPrecision = ""
    """What the output head is rounded to."""

    @property
    def variant(self) -> str:
        """What tells this packing's bundles from the usual ones; empty for those."""
        layout = [] if self.screened_head else ["plain"]
        precision = [self.head_precision] if self.head_precision else []
        return " ".join(["head", *layout, *precision]) if layout or precision else ""

    def __call__(self, checkpoint: Path, target: Path) -> None:
        """Packs a checkpoint directory into a file.

        Raises:
            NativeError: The checkpoint cannot be packed.
        """
        layout = "auto" if self.screened_head else "plain"
        _native.pack_checkpoint(str(checkpoint), str(target), layout, self.head_precision)

    def ensure(self, checkpoint: Path, name: str, home: Path) -> Bundle:
        """As `ensure_bundle`, for this packing."""
        return ensure_bundle(checkpoint, name, home, self, self.variant)


def pack(checkpoint: Path, name: str, home: Path, packing: Packing | None = None) -> Bundle:
    """The bundle that a load of this checkpoint would use, made now if it is missing. Blocks.

    Raises:
        ModelLoadError: The checkpoint cannot be packed.
    """
    try:
        return (packing or Packing()).ensure(checkpoint, name, home)
    except _native.NativeError as error:
        raise ModelLoadError(str(error)) from None
    except OSError as error:
        raise ModelLoadError(f"{error.filename or checkpoint}: {error.strerror}") from None
