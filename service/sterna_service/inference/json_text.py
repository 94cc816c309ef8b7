"""JSON that came as text."""

from __future__ import annotations

import json
from typing import Any


def parse(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or spells half of a surrogate pair, which
            no tokenizer takes.
    """
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is no character") from None
    return value
