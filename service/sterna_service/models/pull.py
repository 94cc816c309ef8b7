"""Brings a model or an adapter from the hub into the store: one download, checked file by file."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from sterna_service.engine.adapter import CONFIG_FILE, TENSOR_FILE
from sterna_service.errors import Reason, ServiceError
from sterna_service.models.disk import disk_explained
from sterna_service.models.hub import Hub, PullCancelledError, RemoteFile, RemoteModel
from sterna_service.models.store import Store, is_adapter_alone, wanted


class PullState(Enum):
    """Where a download stands, as in the protocol."""

    RESOLVING = "resolving"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    PACKING = "packing"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is. Sizes are bytes; those of earlier attempts count."""

    source: str
    revision: str = ""
    state: PullState = PullState.RESOLVING
    total_bytes: int = 0
    received_bytes: int = 0
    file_count: int = 0
    received_file_count: int = 0
    current_file: str = ""


def pull(
    store: Store,
    hub: Hub,
    source: str,
    revision: str,
    report: Callable[[Progress], None],
    cancelled: threading.Event,
) -> Path:
    """Brings `ORG/NAME` in and returns its directory. Blocks.

    What a failed or cancelled attempt has brought is kept, and the next one goes on from there.

    Raises:
        ServiceError: It cannot be had, does not fit, or came damaged.
        PullCancelledError: `cancelled` was set.
    """
    staging = store.staging(source)
    progress = Progress(source)
    report(progress)
    with disk_explained(source), store.exclusive(source):
        remote = hub.look_up(source, revision, folder=None)
        files = _needed(remote)
        _drop_others(staging, remote, files)
        staged = staging / remote.commit
        staged.mkdir(parents=True, exist_ok=True)
        here = {file.name: _size(staged / file.name) for file in files}
        total = sum(file.size for file in files)
        store.require_space(total - sum(here.values()))
        progress = replace(
            progress,
            revision=remote.commit,
            state=PullState.DOWNLOADING,
            total_bytes=total,
            received_bytes=sum(here.values()),
            file_count=len(files),
        )
        for index, file in enumerate(files):
            progress = replace(
                progress,
                current_file=file.name,
                received_file_count=index,
                received_bytes=sum(here.values()),
            )
            report(progress)

            def received(size: int, name: str = file.name, before: Progress = progress) -> None:
                here[name] = size
                report(replace(before, received_bytes=sum(here.values())))

            (staged / file.name).parent.mkdir(exist_ok=True)
            hub.fetch(remote, file, staged / file.name, received, cancelled)
        progress = replace(
            progress,
            state=PullState.VERIFYING,
            received_bytes=total,
            received_file_count=len(files),
            current_file="",
        )
        report(progress)
        if cancelled.is_set():
            raise PullCancelledError
        directory = store.install(source, staged, remote.commit)
        shutil.rmtree(staging, ignore_errors=True)
    report(replace(progress, state=PullState.COMPLETED))
    return directory


def _needed(remote: RemoteModel) -> list[RemoteFile]:
    """The files to bring, small ones first, so that what is wrong shows early."""
    there = [file.name for file in remote.files]
    names = wanted(there)
    files = sorted(
        (file for file in remote.files if file.name in names), key=lambda file: file.size
    )
    if is_adapter_alone(there):
        if TENSOR_FILE not in names:
            raise ServiceError(
                Reason.ADAPTER_UNSUPPORTED,
                f"{remote.source} holds an {CONFIG_FILE}, but no {TENSOR_FILE}; pickled weights "
                "are not read: save the adapter with safe_serialization=True",
                metadata={"adapter": remote.source},
            )
        return files
    kinds = (".safetensors", ".gguf", ".onnx")
    has_weights = any(file.name.endswith(kinds) for file in files)
    is_gguf = any(file.name.endswith(".gguf") for file in files)
    if not has_weights or not (is_gguf or "config.json" in names):
        raise ServiceError(
            Reason.MODEL_UNSUPPORTED,
            f"{remote.source} holds no model that can be served: config.json with *.safetensors "
            f"or onnx/model.onnx, or a *.gguf file, is needed; or an adapter: {CONFIG_FILE} with "
            f"{TENSOR_FILE}",
            metadata={"model": remote.source},
        )
    return files


def _drop_others(staging: Path, remote: RemoteModel, files: list[RemoteFile]) -> None:
    """Deletes what earlier attempts have brought of other commits, which would pile up."""
    wanted_names = {file.name for file in files}
    if staging.is_dir():
        for directory in staging.iterdir():
            if directory.name != remote.commit:
                shutil.rmtree(directory, ignore_errors=True)
                continue
            for path in directory.rglob("*"):
                if path.is_file() and str(path.relative_to(directory)) not in wanted_names:
                    path.unlink()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
