"""The directory of models: how one comes in whole or not at all."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sterna_service.directories import interrupted, mend, put_in_place
from sterna_service.encoders.files import (
    chosen_onnx,
    module_files,
    names_in,
    onnx_files,
    prefers_onnx,
)
from sterna_service.engine.adapter import CONFIG_FILE, TENSOR_FILE
from sterna_service.errors import ModelLoadError, Reason, ServiceError, invalid
from sterna_service.models.catalogue import ModelSource, drop_packed
from sterna_service.models.disk import disk_explained
from sterna_service.models.manifest import make_manifest
from sterna_service.models.naming import is_model_id

# Left free on the disk, for everything else that writes there.
_MARGIN_BYTES = 64 * 1024 * 1024

# By name and ending; whatever else a repository holds is of no use here.
_NAMES = frozenset(
    {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "vocab.json",
        "merges.txt",
        "model.safetensors.index.json",
        "README.md",
    }
)
# The order in which one of several GGUF files is chosen, by what its name says.
_GGUF_KINDS = ("i2_s", "tq2_0", "tq1_0", "q2_0")


def wanted(names: list[str]) -> list[str]:
    """The files of a repository that a model needs: text files and one set of weights.

    Weights are those of a sentence encoder in ONNX, else the safetensors files if there are any,
    else one GGUF file, a ternary one first. Where there are none of these but an adapter, its two
    files: what is saved beside it describes a model that is elsewhere. Names are relative to the
    repository.
    """
    top = [name for name in names if "/" not in name]
    if is_adapter_alone(names):
        files = [CONFIG_FILE, TENSOR_FILE, "README.md"]
        return sorted(name for name in top if name in files or name.upper().startswith("LICENSE"))
    text = [name for name in top if name in _NAMES or name.upper().startswith("LICENSE")]
    text += module_files(names)
    if prefers_onnx(names):
        return sorted(text + onnx_files(names))
    weights = [name for name in top if _holds_model(name)]
    if weights:
        return sorted(text + weights)
    packed = sorted(name for name in top if name.endswith(".gguf"))
    for kind in _GGUF_KINDS:
        chosen = [name for name in packed if kind in name.lower()]
        if chosen:
            return sorted([*text, chosen[0]])
    return sorted(text + packed[:1])


def is_adapter_alone(names: list[str]) -> bool:
    """Whether a repository holds an adapter, and no weights of a model."""
    others = any(name.endswith(".gguf") or _holds_model(name) for name in names if "/" not in name)
    return CONFIG_FILE in names and not others and chosen_onnx(names) is None


def _holds_model(name: str) -> bool:
    return name.endswith(".safetensors") and name != TENSOR_FILE


class Store:
    """`models/` in the home directory, with one directory `ORG/NAME` for each model."""

    def __init__(self, home: Path) -> None:
        self.path = home / "models"

    def directory(self, model_id: str) -> Path:
        """Where a model of that id lies, or would.

        Raises:
            ServiceError: It is no id, or a link of the store leads elsewhere.
        """
        if not is_model_id(model_id):
            raise invalid("source", "must be ORGANISATION/NAME, for example microsoft/bitnet-2b")
        directory = self.path / model_id
        try:
            real = directory.resolve()
            # Since Python 3.13 a loop of links is not an error: its links stay in the path.
            loop = any(each.is_symlink() for each in (real, *real.parents))
            inside = not loop and real.is_relative_to(self.path.resolve())
        except (OSError, RuntimeError):
            inside = False
        if not inside:
            raise ServiceError(
                Reason.PATH_FORBIDDEN,
                f"{directory} leads out of the model store: remove the link, or choose another id",
                metadata={"path": str(directory)},
            )
        return directory

    def staging(self, model_id: str) -> Path:
        """Where a model is put together, on the same disk and out of sight."""
        return self.path / ".incoming" / self.directory(model_id).relative_to(self.path)

    @contextmanager
    def exclusive(self, model_id: str) -> Iterator[None]:
        """Keeps other processes from bringing the same model in at the same time.

        Raises:
            ServiceError: One does so now.
        """
        staging = self.staging(model_id)
        staging.parent.mkdir(parents=True, exist_ok=True)
        with staging.with_name(f".{staging.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ServiceError(
                    Reason.DOWNLOAD_FAILED,
                    f"another process, or another download of this one, is bringing {model_id} in; "
                    "wait for it",
                    metadata={"source": model_id},
                ) from None
            mend(self.directory(model_id))
            yield

    def clean_up(self) -> None:
        """Finishes what processes that were killed left half done. Blocks.

        What another process has under way is left to it.
        """
        for owner in self.path.glob("[!.]*/"):
            for left in interrupted(owner):
                with suppress(ServiceError, OSError), self.exclusive(f"{owner.name}/{left.name}"):
                    pass  # whoever has a place for himself has it mended

    def require_space(self, needed: int) -> None:
        """Checks that so many bytes more fit on the disk.

        Raises:
            ServiceError: They do not.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.path).free
        if needed + _MARGIN_BYTES > free:
            raise ServiceError(
                Reason.DISK_FULL,
                f"{self.path}: {needed} bytes are needed and {free} are free; make room, or choose "
                "another home directory",
                metadata={
                    "needed_bytes": str(needed),
                    "available_bytes": str(free),
                    "path": str(self.path),
                },
            )

    def install(self, model_id: str, staged: Path, revision: str) -> Path:
        """Moves a complete model from its staging place into the store, in place of an older one
        and what was made of that.

        Blocks: it reads all files, to note their digests.
        """
        make_manifest(staged, model_id, revision).write(staged)
        target = self.directory(model_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        drop_packed(ModelSource(model_id, target), self.path.parent)
        put_in_place(staged, target)
        with suppress(OSError):
            staged.parent.rmdir()
        return target

    def take_in(self, model_id: str, checkpoint: Path) -> Path:
        """Copies a checkpoint directory, a GGUF file or an adapter into the store. Blocks.

        Raises:
            ServiceError: It does not fit on the disk, or another process does the same.
            ModelLoadError: It is none of these, or the store has a model of that id already.
        """
        if checkpoint.is_file() and checkpoint.suffix == ".gguf":
            checkpoint, names = checkpoint.parent, [checkpoint.name]
        elif checkpoint.is_dir():
            names = wanted(names_in(checkpoint))
        else:
            raise ModelLoadError(f"{checkpoint}: no such directory, and no GGUF file")
        if CONFIG_FILE in names:
            if TENSOR_FILE not in names:
                raise ModelLoadError(f"{checkpoint}: there is no {TENSOR_FILE} in it")
        elif "config.json" not in names and not any(name.endswith(".gguf") for name in names):
            raise ModelLoadError(
                f"{checkpoint}: neither a checkpoint nor an adapter: no config.json is in it, "
                f"and no {CONFIG_FILE}"
            )
        with disk_explained(model_id), self.exclusive(model_id):
            if self.directory(model_id).exists():
                raise ModelLoadError(
                    f"the store has a model {model_id} already; choose another id, or remove it "
                    "first"
                )
            self.require_space(sum((checkpoint / name).stat().st_size for name in names))
            staging = self.staging(model_id)
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            try:
                for name in names:
                    (staging / name).parent.mkdir(exist_ok=True)
                    shutil.copyfile(checkpoint / name, staging / name)
                return self.install(model_id, staging, "")
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                raise
