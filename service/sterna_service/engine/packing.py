"""Packs a checkpoint ahead of its first load."""

from __future__ import annotations

from pathlib import Path

from sterna_service.engine import _native
from sterna_service.engine.bundle import Bundle, ensure_bundle
from sterna_service.errors import ModelLoadError


def pack(checkpoint: Path, name: str, home: Path) -> Bundle:
    """The bundle that a load of this checkpoint would use, made now if it is missing. Blocks.

    Raises:
        ModelLoadError: The checkpoint cannot be packed.
    """
    try:
        return ensure_bundle(
            checkpoint,
            name,
            home,
            lambda source, target: _native.pack_checkpoint(str(source), str(target)),
        )
    except _native.NativeError as error:
        raise ModelLoadError(str(error)) from None
    except OSError as error:
        raise ModelLoadError(f"{error.filename or checkpoint}: {error.strerror}") from None
