"""Which model to measure: one of the store, a checkpoint, a bundle, or random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sterna_server.errors import CommandError
from sterna_service.engine.trial import find_bundle
from sterna_service.engine.types import HeadPrecision
from sterna_service.models.loading import LoadingOptions
from sterna_service.models.registry import ModelRegistry, RegistryOptions
from sterna_service.models.synthetic.checkpoint import make_checkpoint
from sterna_service.models.synthetic.shapes import SHAPES, match_shape


@dataclass(frozen=True, slots=True)
class Subject:
    """A packed model and what to call it."""

    name: str
    bundle: Path
    checkpoint: Path | None = None
    """The directory that it was packed from; None for a bundle that was named itself."""


def find_subject(
    model: str,
    shape: str,
    home: Path,
    tell: Callable[[str], None],
    head_precision: HeadPrecision = "",
) -> Subject:
    """The model to measure. Random weights are made on first use and kept in `home`.

    Raises:
        CommandError: Both a model and a shape are named, or the shape is unknown.
        ModelLoadError: The model cannot be used.
    """
    if model and shape:
        raise CommandError("name a MODEL or a --shape, not both")
    if shape:
        return _random(shape, home, tell, head_precision)
    path = Path(model).expanduser()
    if model and path.is_file():
        return Subject(path.name, path)
    source = ModelRegistry(
        home, RegistryOptions(aliases={}), LoadingOptions()
    ).names.select_default(model or None)
    bundle = find_bundle(source.path, source.model_id, home, head_precision)
    return Subject(source.model_id, bundle, source.path)


def _random(
    name: str, home: Path, tell: Callable[[str], None], head_precision: HeadPrecision
) -> Subject:
    shape = match_shape(name)
    if shape is None:
        raise CommandError(f"--shape: there is no shape {name!r}; there are: {', '.join(SHAPES)}")
    checkpoint = home / "random" / shape
    if not (checkpoint / "model.safetensors").exists():
        tell(f"writing random weights to {checkpoint}; they are kept for the next time")
        try:
            make_checkpoint(checkpoint, SHAPES[shape], 0)
        except OSError as error:
            raise CommandError(f"{error.filename or checkpoint}: {error.strerror}") from None
    bundle = find_bundle(checkpoint, f"random-{shape}", home, head_precision)
    return Subject(f"{shape} (random weights)", bundle, checkpoint)
