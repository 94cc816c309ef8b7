"""Reading the small files of a checkpoint, which anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sterna_service.errors import ModelLoadError

# A configuration of this size is no configuration; vocabularies are read by the tokenizer library.
_LARGEST_FILE = 16 * 1024 * 1024


def read_text(path: Path) -> str | None:
    """The text of a file, or None where there is none.

    Raises:
        ModelLoadError: The file cannot be read, is too large, or is not UTF-8.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelLoadError(f"{path}: larger than {_LARGEST_FILE} bytes")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelLoadError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelLoadError(f"{path}: not UTF-8 text") from None


def read_json(path: Path, *, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object in a JSON file; `missing` stands for a file that is not there.

    Raises:
        ModelLoadError: As `read_text`; the file is missing and has no stand-in; it holds no object.
    """
    text = read_text(path)
    if text is None and missing is not None:
        return missing
    value = _parse(path, text)
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path}: must hold a JSON object")
    return value


def read_json_list(path: Path) -> list[Any]:
    """The list in a JSON file.

    Raises:
        ModelLoadError: As `read_text`; the file is missing; it holds no list.
    """
    value = _parse(path, read_text(path))
    if not isinstance(value, list):
        raise ModelLoadError(f"{path}: must hold a JSON list")
    return value


def _parse(path: Path, text: str | None) -> Any:
    if text is None:
        raise ModelLoadError(f"{path}: no such file")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path}: not JSON ({error})") from None
