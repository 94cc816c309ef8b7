"""Keeps the arguments of a call that must come within the tokens that are left.

A small model that must fill a text or a number of any length may go on until the answer is cut off,
and then the call is no valid JSON. So where room is short, whatever has no limit of its own gets
one. A value within the limits also satisfies the original schema.
"""

from __future__ import annotations

import json
from typing import Any

# With this many characters for each text there is no need to interfere.
_PLENTY = 4096
_SHORTEST = 16
_MOST_ITEMS = 8
# Whole numbers that every JSON reader keeps exactly.
_LARGEST = 2**53 - 1
_LARGEST_FRACTION = 10**9
_SMALLEST_STEP = 1e-6
_NUMBER_CHARACTERS = 20
_COMBINED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SIZED = ("enum", "const", "maxLength", "pattern", "format", "$ref")


def bounded(schema: dict[str, Any], room: int) -> dict[str, Any]:
    """A schema whose values fit into `room` tokens, at one character per token at worst."""
    fixed, texts = _measure(schema)
    longest = (room - fixed) // max(1, texts)
    if longest > _PLENTY:
        return schema
    limited: dict[str, Any] = _limit(schema, max(longest, _SHORTEST))
    return limited


def _types(schema: dict[str, Any]) -> list[str]:
    declared = schema.get("type", [])
    return declared if isinstance(declared, list) else [declared]


def _measure(schema: Any) -> tuple[int, int]:
    """Characters that a value needs besides its texts, and how many texts there are, at most."""
    if not isinstance(schema, dict):
        return 0, 1
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return max((len(json.dumps(value)) for value in values), default=0), 0
    fixed, texts = _NUMBER_CHARACTERS, 0
    types = _types(schema)
    if "string" in types:
        fixed, texts = fixed + int(schema.get("maxLength", 0)), int("maxLength" not in schema)
    for name, part in schema.get("properties", {}).items():
        more_fixed, more_texts = _measure(part)
        fixed += len(name) + 6 + more_fixed
        texts += more_texts
    if "array" in types:
        item_fixed, item_texts = _measure(schema.get("items"))
        count = int(schema.get("maxItems", _MOST_ITEMS))
        fixed += (item_fixed + 2) * count
        texts += item_texts * count
    for keyword in _COMBINED:
        for part in schema.get(keyword, ()):
            more_fixed, more_texts = _measure(part)
            fixed += more_fixed
            texts += more_texts
    return fixed, texts


def _limit(schema: Any, longest: int) -> Any:
    if not isinstance(schema, dict):
        return schema
    limited = dict(schema)
    types = _types(schema)
    if "string" in types and not any(keyword in schema for keyword in _SIZED):
        limited["maxLength"] = max(longest, int(schema.get("minLength", 0)))
    if ("integer" in types or "number" in types) and not ("enum" in schema or "const" in schema):
        largest = _LARGEST
        if "number" in types:
            # Without a step the digits behind the point would never end.
            limited.setdefault("multipleOf", _SMALLEST_STEP)
            largest = _LARGEST_FRACTION
        if "minimum" not in schema and "exclusiveMinimum" not in schema:
            limited["minimum"] = -largest
        if "maximum" not in schema and "exclusiveMaximum" not in schema:
            limited["maximum"] = largest
    if "array" in types:
        limited.setdefault("maxItems", max(_MOST_ITEMS, int(schema.get("minItems", 0))))
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            limited[keyword] = _limit(schema[keyword], longest)
    for keyword in ("properties", "$defs", "definitions"):
        if isinstance(schema.get(keyword), dict):
            limited[keyword] = {
                name: _limit(part, longest) for name, part in schema[keyword].items()
            }
    for keyword in _COMBINED:
        if isinstance(schema.get(keyword), list):
            limited[keyword] = [_limit(part, longest) for part in schema[keyword]]
    return limited
