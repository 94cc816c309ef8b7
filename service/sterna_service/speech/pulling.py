"""Brings speech weights from the hub: what `sterna pull --voice` does, and nothing else does.

Files come into a folder of their own, which gets its name when all of them are there and match
their checksums; what an interrupted download has brought is kept for the next one.
"""

from __future__ import annotations

import importlib.util
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sterna_service.directories import mend, put_in_place
from sterna_service.errors import Reason, ServiceError
from sterna_service.models.hub import Hub, RemoteFile, RemoteModel
from sterna_service.speech.bundle import (
    CONFIG_NAME,
    NOTES_NAME,
    RECOGNITION_FILES,
    VOICES_NAME,
    WEIGHTS_NAME,
)
from sterna_service.speech.catalogue import Kind, Weights
from sterna_service.speech.voices import PREDEFINED
from sterna_service.speech.worker import INSTALL_COMMAND

_RECOGNITION_EXTRAS = ("preprocessor_config.json", "vocabulary.json", "vocabulary.txt")
_REFERENCE = re.compile(r"hf://([^/]+/[^/]+)/(.+)@([0-9a-f]{7,64})")

Report = Callable[[str, int, int], None]
"""Told the file that comes, the bytes that are here, and the bytes in all."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of a repository and its place in the folder."""

    remote: RemoteModel
    file: RemoteFile
    place: str


def folder_of(weights: Weights, home: Path) -> Path:
    """Where weights live."""
    return home / "speech" / weights.kind.value / weights.name


def pull_weights(
    weights: Weights,
    home: Path,
    hub: Hub,
    *,
    cloning: bool,
    report: Report,
    cancelled: threading.Event,
) -> Path:
    """Brings weights, if they are not here already; returns their folder.

    With `cloning`, those that can make voices, which are gated.

    Raises:
        ServiceError: They cannot be had. What came is kept.
        PullCancelledError: `cancelled` was set. Likewise.
    """
    folder = folder_of(weights, home)
    mend(folder)
    if folder.is_dir() and (not cloning or _notes(folder).get("voice_cloning")):
        return folder
    parts = list(_parts(weights, hub, cloning))
    new = folder.with_name(f".new-{weights.name}{'-cloning' if cloning else ''}")
    new.mkdir(parents=True, exist_ok=True)
    total, done = sum(part.file.size for part in parts), 0
    for part in parts:
        target = new / part.place
        target.parent.mkdir(exist_ok=True)

        def received(size: int, part: _Part = part, before: int = done) -> None:
            report(part.place, before + size, total)

        hub.fetch(part.remote, part.file, target, received, cancelled)
        done += part.file.size
    if weights.kind is Kind.SYNTHESIS:
        (new / CONFIG_NAME).write_text(_config_path(weights).read_text())
    notes = {
        "name": weights.name,
        "licence": weights.licence,
        "voice_cloning": cloning,
        "sources": sorted({f"{part.remote.source}@{part.remote.commit}" for part in parts}),
    }
    (new / NOTES_NAME).write_text(json.dumps(notes, indent=2) + "\n")
    put_in_place(new, folder)
    return folder


def _parts(weights: Weights, hub: Hub, cloning: bool) -> Iterator[_Part]:
    if weights.kind is Kind.RECOGNITION:
        remote = hub.look_up(weights.repository, "")
        wanted = {*RECOGNITION_FILES, *_RECOGNITION_EXTRAS}
        found = {file.name: file for file in remote.files if file.name in wanted}
        for name in RECOGNITION_FILES:
            if name not in found:
                raise _lacking(weights.repository, name)
        yield from (_Part(remote, file, name) for name, file in sorted(found.items()))
        return
    config = _read_config(weights)
    tokenizer = config["flow_lm"]["lookup_table"]["tokenizer_path"]
    yield _referenced(hub, config["weights_path" if cloning else _UNGATED], WEIGHTS_NAME)
    yield _referenced(hub, tokenizer, f"tokenizer{PurePosixPath(_path_in(tokenizer)).suffix}")
    # The states of the predefined voices are in the repository that is not gated.
    repository, path, revision = _reference(config[_UNGATED])
    voices = hub.look_up(repository, revision, str(PurePosixPath(path).parent / "embeddings"))
    for file in voices.files:
        place = PurePosixPath(file.name)
        if place.stem in PREDEFINED and place.suffix == ".safetensors":
            yield _Part(voices, file, f"{VOICES_NAME}/{place.name}")


_UNGATED = "weights_path_without_voice_cloning"


def _referenced(hub: Hub, reference: str, place: str) -> _Part:
    repository, path, revision = _reference(reference)
    remote = hub.look_up(repository, revision, str(PurePosixPath(path).parent))
    for file in remote.files:
        if file.name == path:
            return _Part(remote, file, place)
    raise _lacking(repository, path)


def _reference(text: str) -> tuple[str, str, str]:
    """Repository, path and commit of `hf://ORG/NAME/PATH@COMMIT`."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise ServiceError(
            Reason.SOURCE_NOT_FOUND,
            f"the installed pocket-tts names {text!r}, which is no pinned file of the hub; update "
            "sterna-server",
            metadata={"source": text},
        )
    return match[1], match[2], match[3]


def _path_in(reference: str) -> str:
    return _reference(reference)[1]


def _read_config(weights: Weights) -> dict[str, Any]:
    import yaml

    config = yaml.safe_load(_config_path(weights).read_text())
    assert isinstance(config, dict)
    return config


def _config_path(weights: Weights) -> Path:
    """The configuration in the installed package: it pins the commit of every file."""
    spec = importlib.util.find_spec("pocket_tts")
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(location) / "config" / f"{weights.name}.yaml"
        if path.is_file():
            return path
    raise ServiceError(
        Reason.SPEECH_WEIGHTS_MISSING,
        f"{weights.name} needs the package pocket-tts; run {INSTALL_COMMAND} first",
        metadata={"model": weights.name, "command": INSTALL_COMMAND},
    )


def _notes(folder: Path) -> dict[str, Any]:
    try:
        notes = json.loads((folder / NOTES_NAME).read_text())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _lacking(repository: str, name: str) -> ServiceError:
    return ServiceError(
        Reason.SOURCE_NOT_FOUND,
        f"{repository} has no file {name}",
        metadata={"source": repository},
    )
