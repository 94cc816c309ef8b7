"""Where the files of speech models stand: plain directories, the same for server and workers.

A recognition model is a directory as CTranslate2's converter writes it. A synthesis model, a
"bundle", is a configuration of pocket-tts with its weights, its tokenizer and its voices beside it.
"""

from __future__ import annotations

import json
from pathlib import Path

RECOGNITION_FILES = ("config.json", "model.bin", "tokenizer.json")

CONFIG_NAME = "model.yaml"
WEIGHTS_NAME = "model.safetensors"
VOICES_NAME = "voices"
NOTES_NAME = "bundle.json"
_TOKENIZER_NAMES = ("tokenizer.model", "tokenizer.json")


def tokenizer_file(bundle: Path) -> Path:
    """The tokenizer of a bundle, whether or not it is there."""
    for name in _TOKENIZER_NAMES:
        if (bundle / name).is_file():
            return bundle / name
    return bundle / _TOKENIZER_NAMES[0]


def missing_recognition_file(directory: Path) -> str | None:
    """The first file that a recognition model lacks."""
    return next((name for name in RECOGNITION_FILES if not (directory / name).is_file()), None)


def missing_bundle_file(bundle: Path) -> str | None:
    """The first file that a synthesis bundle lacks."""
    files = (bundle / CONFIG_NAME, bundle / WEIGHTS_NAME, tokenizer_file(bundle))
    return next((path.name for path in files if not path.is_file()), None)


def built_in_voice(bundle: Path, voice_id: str) -> Path:
    """The file of a voice that comes with a bundle."""
    return bundle / VOICES_NAME / f"{voice_id}.safetensors"


def can_clone(bundle: Path) -> bool:
    """Whether the weights can make voices; those that cannot say so in their notes."""
    try:
        notes = json.loads((bundle / NOTES_NAME).read_text())
    except (OSError, ValueError):
        return True
    return not isinstance(notes, dict) or notes.get("voice_cloning") is not False


def language_of(bundle: Path) -> str:
    """The ISO 639-1 code of the language that a bundle speaks, from its name or its notes."""
    try:
        notes = json.loads((bundle / NOTES_NAME).read_text())
        if isinstance(notes, dict) and isinstance(notes.get("language"), str):
            return str(notes["language"])
    except (OSError, ValueError):
        pass
    codes = {
        "english": "en",
        "french": "fr",
        "german": "de",
        "italian": "it",
        "spanish": "es",
        "portuguese": "pt",
        "dutch": "nl",
    }
    return codes.get(bundle.name.partition("_")[0], "")
