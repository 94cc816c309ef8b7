"""Finds or makes the packed form of a checkpoint.

A checkpoint is packed once into a *bundle*, one file that the engine maps. The name of the bundle
holds a fingerprint of the checkpoint, so that a changed checkpoint is packed anew and nothing has
to be invalidated by hand.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sterna_service.errors import ModelLoadError

_log = logging.getLogger(__name__)

# Raised whenever the same checkpoint would be packed into different bytes.
PACKING_VERSION = 2

Pack = Callable[[Path, Path], None]
"""Packs the checkpoint directory (first) into the file (second), atomically."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A packed checkpoint. A temporary one should be deleted as soon as it is mapped."""

    path: Path
    temporary: bool
    packed_now: bool = False
    """It was not there, or was made for other files or settings."""

    def release(self) -> None:
        """Deletes a temporary bundle; what is mapped stays mapped."""
        if self.temporary:
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()


def bundle_name(checkpoint: Path, name: str, variant: str = "") -> str:
    """The file name of the bundle for this checkpoint as it is now.

    A `variant` names the way of packing where it is not the usual one.

    Raises:
        ModelLoadError: The directory has no config.json or no weights, or cannot be read.
    """
    digest = hashlib.sha256(f"packing {PACKING_VERSION}{variant and f' {variant}'}\n".encode())
    try:
        digest.update((checkpoint / "config.json").read_bytes())
        weights = sorted(checkpoint.glob("*.safetensors"))
        for file in weights:
            facts = file.stat()
            digest.update(f"\n{file.name} {facts.st_size} {facts.st_mtime_ns}".encode())
    except FileNotFoundError as error:
        raise ModelLoadError(
            f"{error.filename}: no such file; a checkpoint directory has config.json, "
            "*.safetensors and tokenizer.json"
        ) from None
    except OSError as error:
        raise ModelLoadError(f"{error.filename}: {error.strerror}") from None
    if not weights:
        raise ModelLoadError(f"{checkpoint}: there are no *.safetensors files in it")
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "model"
    return f"{stem}-{digest.hexdigest()[:16]}.safetensors"


def ensure_bundle(checkpoint: Path, name: str, home: Path, pack: Pack, variant: str = "") -> Bundle:
    """The bundle of a checkpoint, packed now if there is none. Blocks; call it off the loop.

    Several processes may call it at once: one packs, the others wait. When `home` cannot be written
    to, the bundle is a temporary file.

    Raises:
        ModelLoadError: As for `bundle_name`; whatever `pack` raises passes through.
    """
    file_name = bundle_name(checkpoint, name, variant)
    directory = home / "bundles"
    target = directory / file_name
    if target.exists():
        return Bundle(target, temporary=False)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / f".{file_name}.lock").open("w")
    except OSError as error:
        _log.warning(
            "cannot write to %s (%s): packing into a temporary file, again at every start",
            directory,
            error.strerror,
        )
        return _temporary(checkpoint, file_name, pack)
    with lock, _locked(lock.fileno()):
        missing = not target.exists()
        if missing:
            _log.info("packing %s into %s", checkpoint, target)
            pack(checkpoint, target)
    return Bundle(target, temporary=False, packed_now=missing)


def _temporary(checkpoint: Path, file_name: str, pack: Pack) -> Bundle:
    directory = Path(tempfile.mkdtemp(prefix="sterna-bundle-"))
    bundle = Bundle(directory / file_name, temporary=True, packed_now=True)
    try:
        pack(checkpoint, bundle.path)
    except BaseException:
        bundle.release()
        raise
    return bundle


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def discard_bundle(bundle: Bundle) -> None:
    """Deletes a bundle that turned out to be damaged."""
    with contextlib.suppress(OSError):
        bundle.path.unlink()
