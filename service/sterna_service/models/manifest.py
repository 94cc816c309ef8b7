"""What the store notes of a model that it took in: where it came from, and its files' digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sterna_service.errors import ModelLoadError
from sterna_service.files import read_json

MANIFEST_NAME = ".sterna.json"

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it was when it was stored."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A model of the store. `revision` is the commit; both are empty when it was imported."""

    source: str
    revision: str
    stored: datetime
    files: Mapping[str, StoredFile]

    def write(self, directory: Path) -> None:
        """Writes it beside the files."""
        text = json.dumps(
            {
                "source": self.source,
                "revision": self.revision,
                "stored": self.stored.isoformat(),
                "files": {
                    name: {"size": file.size, "sha256": file.sha256}
                    for name, file in sorted(self.files.items())
                },
            },
            indent=2,
        )
        (directory / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def make_manifest(directory: Path, source: str, revision: str) -> Manifest:
    """Describes the files of a directory as they are now. Blocks: it reads all of them."""
    files = {
        str(path.relative_to(directory)): StoredFile(path.stat().st_size, sha256_of(path))
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    }
    return Manifest(source, revision, datetime.now(UTC), files)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a stored model; None when it has none, or none that can be read."""
    path = directory / MANIFEST_NAME
    try:
        value = read_json(path)
        files = {
            str(name): StoredFile(int(file["size"]), str(file["sha256"]))
            for name, file in value["files"].items()
        }
        stored = datetime.fromisoformat(value["stored"])
        return Manifest(str(value["source"]), str(value["revision"]), stored, files)
    except (ModelLoadError, KeyError, TypeError, ValueError, AttributeError):
        return None


def compare(directory: Path, manifest: Manifest) -> list[str]:
    """What is not as the manifest says, a line each. Blocks: it reads every file."""
    problems = []
    for name, stored in sorted(manifest.files.items()):
        path = directory / name
        if not path.is_file():
            problems.append(f"{name}: missing")
        elif path.stat().st_size != stored.size:
            problems.append(f"{name}: {path.stat().st_size} bytes, should have {stored.size}")
        elif sha256_of(path) != stored.sha256:
            problems.append(f"{name}: its content has changed")
    return problems


def sha256_of(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
