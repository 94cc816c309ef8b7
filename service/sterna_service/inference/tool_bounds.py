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
_LONGEST_NAME = 32
_COMBINED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SIZED = ("enum", "const", "maxLength", "pattern", "format", "$ref")

# Keywords that say what a value looks like; without any of them it may be anything.
_SHAPING = ("type", "properties", "enum", "const", "$ref", "not", "if", *_COMBINED)


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
    if _is_anything(schema):
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
    if _is_open(schema):
        fixed += _MOST_ITEMS * (_LONGEST_NAME + 6)
        texts += _MOST_ITEMS
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


def _is_anything(schema: Any) -> bool:
    """Whether a schema allows every JSON value."""
    return not isinstance(schema, dict) or not any(keyword in schema for keyword in _SHAPING)


def _is_open(schema: dict[str, Any]) -> bool:
    """Whether an object may have members of any name, and has no other members."""
    if "object" not in _types(schema) or schema.get("additionalProperties") is False:
        return False
    return not any(schema.get(keyword) for keyword in ("properties", "patternProperties"))


def _limit(schema: Any, longest: int) -> Any:
    if schema is False:
        return schema
    if _is_anything(schema):
        return {"type": ["string", "boolean", "null"], "maxLength": longest}
    limited = dict(schema)
    types = _types(schema)
    if "string" in types and not any(keyword in schema for keyword in _SIZED):
        limited["maxLength"] = max(longest, int(schema.get("minLength", 0)))
    if ("integer" in types or "number" in types) and not ("enum" in schema or "const" in schema):
        _limit_number(limited, "number" in types)
    if "array" in types:
        limited.setdefault("maxItems", max(_MOST_ITEMS, int(schema.get("minItems", 0))))
        limited["items"] = _limit(schema.get("items", True), longest)
    for keyword in ("properties", "patternProperties", "$defs", "definitions"):
        if isinstance(schema.get(keyword), dict):
            limited[keyword] = {
                name: _limit(part, longest) for name, part in schema[keyword].items()
            }
    if _is_open(schema):
        # Names have a length, too.
        value = _limit(schema.get("additionalProperties", True), longest)
        limited["patternProperties"] = {f"^[A-Za-z0-9_ -]{{1,{_LONGEST_NAME}}}$": value}
        limited.setdefault("maxProperties", max(_MOST_ITEMS, int(schema.get("minProperties", 0))))
        limited["additionalProperties"] = False
    elif "properties" in schema or "patternProperties" in schema:
        limited["additionalProperties"] = False
    for keyword in _COMBINED:
        if isinstance(schema.get(keyword), list):
            limited[keyword] = [_limit(part, longest) for part in schema[keyword]]
    return limited


def _limit_number(schema: dict[str, Any], with_fraction: bool) -> None:
    largest = _LARGEST
    if with_fraction:
        # Without a step the digits behind the point would never end.
        schema.setdefault("multipleOf", _SMALLEST_STEP)
        largest = _LARGEST_FRACTION
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        schema["minimum"] = -largest if high is None else min(-largest, high - largest)
    if high is None:
        schema["maximum"] = largest if low is None else max(largest, low + largest)
