"""Which directories hold a sentence encoder, and which of their files it needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sterna_service.encoders.traits import is_laid_out
from sterna_service.errors import ModelLoadError
from sterna_service.files import read_json

# What a configuration calls encoders; none of them can continue a text.
_ENCODER_TYPES = frozenset(
    {
        "albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra",
        "eurobert", "gemma3_text_encoder", "modernbert", "mpnet", "new", "nomic_bert", "roberta",
        "xlm-roberta",
    }
)  # fmt: skip

# The order in which one of several files is chosen: the exact one first.
_PREFERRED = ("onnx/model.onnx", "model.onnx")
_ONNX_FILE = re.compile(r"(?:onnx/)?[^/]+\.onnx")

_TEXT_FILES = frozenset(
    {
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    }
)
_MODULE_FILE = re.compile(r"[0-9]{1,2}_[A-Za-z]{1,32}/(?:config\.json|model\.safetensors)")


def module_files(names: Sequence[str]) -> list[str]:
    """The files of sentence-transformers among those of a repository."""
    return [name for name in names if name in _TEXT_FILES or _MODULE_FILE.fullmatch(name)]


def chosen_onnx(names: Sequence[str]) -> str | None:
    """The ONNX file to take of several, or None: the exact one, else the shortest name."""
    found = sorted(filter(_ONNX_FILE.fullmatch, names), key=lambda name: (len(name), name))
    return next((name for name in _PREFERRED if name in found), found[0] if found else None)


def onnx_files(names: Sequence[str]) -> list[str]:
    """The ONNX file of a repository's and those that hold its weights; empty when it has none.

    Weights that do not fit a file lie beside it under its name with `_data` or `.data` behind it.
    """
    file = chosen_onnx(names)
    if file is None:
        return []
    data = re.compile(re.escape(file) + r"[._]data(?:_[0-9]+)?")
    return [file, *filter(data.fullmatch, names)]


def prefers_onnx(names: Sequence[str]) -> bool:
    """Whether a repository with ONNX files is a sentence encoder rather than a language model."""
    laid_out = {"modules.json", "sentence_bert_config.json", "1_Pooling/config.json"} & {*names}
    others = any("/" not in name and name.endswith((".safetensors", ".gguf")) for name in names)
    return chosen_onnx(names) is not None and (bool(laid_out) or not others)


def names_in(directory: Path) -> list[str]:
    """The files of a directory and of the directories right in it. Blocks."""
    names = []
    for path in directory.iterdir():
        if path.is_file():
            names.append(path.name)
        elif path.is_dir() and not path.name.startswith("."):
            names += [f"{path.name}/{each.name}" for each in path.iterdir() if each.is_file()]
    return names


def onnx_in(directory: Path) -> Path | None:
    """The ONNX file that a directory is served from, if it has one. Blocks."""
    for name in _PREFERRED:
        if (directory / name).is_file():
            return directory / name
    if not directory.is_dir():
        return None
    chosen = chosen_onnx(names_in(directory))
    return None if chosen is None else directory / chosen


def is_encoder(path: Path) -> bool:
    """Whether a model is a sentence encoder, judged by its files. Blocks."""
    config = path / "config.json"
    if not config.is_file():
        return False
    if onnx_in(path) is not None:
        return is_laid_out(path) or not any(path.glob("*.safetensors"))
    try:
        return read_json(config).get("model_type") in _ENCODER_TYPES
    except ModelLoadError:
        return False
