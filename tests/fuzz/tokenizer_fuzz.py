"""Fuzzes the reading of a checkpoint's text parts: tokenizer, template, generation defaults.

The input is the files one after the other, separated by a zero byte. Run by
scripts/fuzz_python.sh.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

from sterna_service.errors import ModelLoadError
from sterna_service.inference.chat_template import TemplateError
from sterna_service.inference.loaded_model import read_checkpoint_text
from tests.fuzz import TEXT_FILES, TEXT_SEPARATOR

_SCRATCH = Path(tempfile.mkdtemp(prefix="sterna-fuzz-", dir="/dev/shm"))
_MESSAGES = [{"role": "user", "content": "Déjà vu? 1 + 1 = 2\n\U0001f426"}]


def test_one(data: bytes) -> None:
    parts = data.split(TEXT_SEPARATOR, len(TEXT_FILES) - 1)
    for name in TEXT_FILES:
        (_SCRATCH / name).unlink(missing_ok=True)
    for name, part in zip(TEXT_FILES, parts, strict=False):
        if part:
            (_SCRATCH / name).write_bytes(part)
    try:
        text = read_checkpoint_text(_SCRATCH)
    except ModelLoadError:
        return
    prompt = "Déjà vu?"
    if text.template is not None:
        try:
            prompt = text.template.render({"messages": _MESSAGES, "add_generation_prompt": True})
        except TemplateError:
            return
    ids = text.tokenizer.encode(prompt[:1000])
    text.tokenizer.decode(ids)
    for id in ids:
        text.tokenizer.token_text(id)


if __name__ == "__main__":
    # All, since an editable installation imports in a way that selective instrumenting misses.
    atheris.instrument_all()
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()
