"""Turns a GGUF file into a checkpoint directory, once, and finds it again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import shutil
from pathlib import Path

from sterna_service.errors import ModelLoadError, Reason, is_disk_full
from sterna_service.models.gguf.architecture import Architecture, template_override
from sterna_service.models.gguf.container import read_gguf
from sterna_service.models.gguf.vocabulary import read_vocabulary
from sterna_service.models.gguf.weights import write_weights

_log = logging.getLogger(__name__)

# Raised whenever the same file would become another checkpoint.
_VERSION = 2


def gguf_in(path: Path) -> Path | None:
    """The GGUF file of a model that is nothing else; None for a checkpoint directory."""
    if path.is_file():
        return path
    if (path / "config.json").is_file():
        return None
    return next(iter(sorted(path.glob("*.gguf"))), None)


def checkpoint_of(path: Path, home: Path) -> Path:
    """The directory to load: the model's own, or what its GGUF file was turned into. Blocks.

    Raises:
        ModelLoadError: The file cannot be converted.
    """
    file = gguf_in(path)
    return path if file is None else _converted(file, home)


def drop_converted(path: Path, home: Path) -> None:
    """Deletes what a model's GGUF file was turned into."""
    file = gguf_in(path)
    if file is not None:
        shutil.rmtree(_target(file, home), ignore_errors=True)


def _target(file: Path, home: Path) -> Path:
    facts = file.stat()
    identity = f"{_VERSION} {file.resolve()} {facts.st_size} {facts.st_mtime_ns}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return home / "converted" / f"{file.stem[:80]}-{digest}"


def _converted(file: Path, home: Path) -> Path:
    try:
        target = _target(file, home)
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f".{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                _convert(file, target)
        return target
    except OSError as error:
        raise ModelLoadError(
            f"{error.filename or file}: {error.strerror}",
            Reason.DISK_FULL if is_disk_full(error) else Reason.CHECKPOINT_INVALID,
        ) from None


def _convert(path: Path, target: Path) -> None:
    _log.info("converting %s into %s", path, target)
    file = read_gguf(path)
    architecture = Architecture(file)
    architecture.config()  # what it refuses, it refuses before the weights are decoded
    vocabulary = read_vocabulary(path, file.metadata)
    staging = target.with_name(f".{target.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        template = template_override(file.metadata)
        if template is None:
            template = architecture.optional("tokenizer.chat_template")
        settings = dict(vocabulary.config)
        if isinstance(template, str):
            settings["chat_template"] = template
        _write_json(staging / "tokenizer_config.json", settings)
        text = vocabulary.tokenizer.to_str(pretty=True)
        (staging / "tokenizer.json").write_text(text, encoding="utf-8")
        group = write_weights(file, architecture, staging / "model.safetensors")
        _write_json(staging / "config.json", architecture.config(group=group))
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
