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
    if text is None:
        if missing is not None:
            return missing
        raise ModelLoadError(f"{path}: no such file")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path}: must hold a JSON object")
    return value
